// SPDX-License-Identifier: Apache-2.0

// Package metrics is what the watcher tells of itself: numbers for Prometheus,
// and whether it is alive and ready.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Result is how the work on an image ended.
type Result string

// The results.
const (
	Converted Result = "converted" // another root has the name now
	Unchanged Result = "unchanged" // the profile accepts the image as it is
	Failed    Result = "failed"
)

// Metrics count what the watcher does. They are safe for concurrent use.
type Metrics struct {
	registry    *prometheus.Registry
	conversions *prometheus.CounterVec
	failures    *prometheus.CounterVec
	losses      *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	connected   prometheus.Gauge
	lastEvent   prometheus.Gauge
	lastCatchUp prometheus.Gauge
	catchUp     prometheus.Gauge
}

// New returns metrics that are all 0, of a watcher of that version.
func New(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "manifest_format", Subsystem: "watcher", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "manifest_format", Subsystem: "watcher", Name: name, Help: help})
	}
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		conversions: counter("conversions_total", "Images that a rule was for, by how the work on them ended; retries count.", "namespace", "profile", "result"),
		failures:    counter("conversion_failures_total", "Conversions that failed, by the class of the error.", "namespace", "class"),
		losses:      counter("losses_total", "Things of a source that the result has no place for.", "namespace", "profile"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "manifest_format", Subsystem: "watcher", Name: "conversion_duration_seconds",
			Help:    "How long conversions took, failed ones too.",
			Buckets: prometheus.ExponentialBuckets(0.005, 4, 10), // 5 ms to 22 min
		}, []string{"profile"}),
		connected:   gauge("connected", "1 while containerd's events are received, 0 otherwise."),
		lastEvent:   gauge("last_event_timestamp_seconds", "When the last event about an image came, in Unix time."),
		lastCatchUp: gauge("last_catch_up_timestamp_seconds", "When all images that were there had been looked at last, in Unix time."),
		catchUp:     gauge("catch_up_duration_seconds", "How long it took last to look at all images that were there, conversions included."),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "manifest_format", Subsystem: "watcher", Name: "build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.conversions, m.failures, m.losses, m.duration, m.connected, m.lastEvent, m.lastCatchUp, m.catchUp, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// QueueDepth has depth asked how many images wait, or are worked on.
func (m *Metrics) QueueDepth(depth func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "manifest_format", Subsystem: "watcher", Name: "queue_depth",
		Help: "Images that wait to be looked at, also after a failure, or are worked on.",
	}, func() float64 { return float64(depth()) }))
}

// Done counts an image that was worked on without a failure.
func (m *Metrics) Done(namespace, profile string, result Result, losses int) {
	m.conversions.WithLabelValues(namespace, profile, string(result)).Inc()
	m.losses.WithLabelValues(namespace, profile).Add(float64(losses))
}

// Fail counts a failure.
func (m *Metrics) Fail(namespace, profile, class string) {
	m.conversions.WithLabelValues(namespace, profile, string(Failed)).Inc()
	m.failures.WithLabelValues(namespace, class).Inc()
}

// Took records how long a conversion was under way.
func (m *Metrics) Took(profile string, d time.Duration) {
	m.duration.WithLabelValues(profile).Observe(d.Seconds())
}

// Connected says whether events are received.
func (m *Metrics) Connected(yes bool) {
	m.connected.Set(0)
	if yes {
		m.connected.Set(1)
	}
}

// Event records that there was one.
func (m *Metrics) Event() { m.lastEvent.SetToCurrentTime() }

// CaughtUp records that all images had been looked at.
func (m *Metrics) CaughtUp(took time.Duration) {
	m.lastCatchUp.SetToCurrentTime()
	m.catchUp.Set(took.Seconds())
}
