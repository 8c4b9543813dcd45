// SPDX-License-Identifier: Apache-2.0

// Package deploy tests the files with which a watcher is deployed.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/manifest-format/manifest-format/plugins/watcher/internal/command"
	"github.com/manifest-format/manifest-format/plugins/watcher/internal/config"
)

// expectAccepted wants the program to take the arguments and the file.
func expectAccepted(t *testing.T, file string, args []string) {
	t.Helper()
	replaced := false
	for i, arg := range args {
		if arg == "--config" && args[i+1] == config.DefaultFile {
			args[i+1], replaced = file, true
		} else if arg == "--config="+config.DefaultFile {
			args[i], replaced = "--config="+file, true
		}
	}
	var out bytes.Buffer
	if code := command.Main(append(args, "--check"), &out, &out); code != 0 || !replaced {
		t.Errorf("%q: exit code %d: %s", args, code, &out)
	}
}

func TestService(t *testing.T) {
	const program = "/usr/local/bin/manifest-format-watcher"
	body, err := os.ReadFile("manifest-format-watcher.service")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	section := ""
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		} else if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			fields[section+key] = value
		}
	}
	for key, want := range map[string]string{
		"[Service]Restart": "on-failure", "[Service]CapabilityBoundingSet": "", "[Unit]After": "containerd.service", "[Install]WantedBy": "multi-user.target",
	} {
		if got, ok := fields[key]; !ok || got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	args := strings.Fields(fields["[Service]ExecStart"])
	if len(args) == 0 || args[0] != program {
		t.Fatalf("it starts %q", args)
	}
	expectAccepted(t, "watcher.json", args[1:])

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze: what systemd says of the unit is not tested")
	}
	// The program has to be there for systemd, whichever it is.
	unit := filepath.Join(t.TempDir(), "manifest-format-watcher.service")
	if err := os.WriteFile(unit, bytes.ReplaceAll(body, []byte(program), []byte("/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("manifest-format-watcher.service:")) {
		t.Errorf("systemd says: %v\n%s", err, out)
	}
}

// object is what of Kubernetes' objects the manifest has: a field that is not
// here is misspelt, or needs a look.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   metadata
	Data       map[string]string
	Spec       struct {
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		UpdateStrategy struct {
			Type          string
			RollingUpdate struct {
				MaxSurge       int `yaml:"maxSurge"`
				MaxUnavailable int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		} `yaml:"updateStrategy"`
		Template struct {
			Metadata metadata
			Spec     pod
		}
	}
}

type metadata struct {
	Name, Namespace string
	Labels          map[string]string
}

type pod struct {
	AutomountServiceAccountToken  *bool             `yaml:"automountServiceAccountToken"`
	EnableServiceLinks            *bool             `yaml:"enableServiceLinks"`
	PriorityClassName             string            `yaml:"priorityClassName"`
	TerminationGracePeriodSeconds int               `yaml:"terminationGracePeriodSeconds"`
	NodeSelector                  map[string]string `yaml:"nodeSelector"`
	Tolerations                   []struct{ Operator string }
	Containers                    []container
	Volumes                       []struct {
		Name      string
		HostPath  struct{ Path, Type string } `yaml:"hostPath"`
		ConfigMap struct{ Name string }       `yaml:"configMap"`
	}
}

type container struct {
	Name, Image string
	Args        []string
	Ports       []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	LivenessProbe   probe `yaml:"livenessProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	Resources       struct{ Requests, Limits map[string]string }
	SecurityContext struct {
		RunAsUser                *int  `yaml:"runAsUser"`
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string }
		SeccompProfile           struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name             string
		MountPath        string `yaml:"mountPath"`
		ReadOnly         bool   `yaml:"readOnly"`
		MountPropagation string `yaml:"mountPropagation"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet       struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds int                         `yaml:"periodSeconds"`
}

func TestDaemonSet(t *testing.T) {
	body, err := os.ReadFile("daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{}
	decoder := yaml.NewDecoder(bytes.NewReader(body))
	decoder.KnownFields(true)
	for {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects[o.APIVersion+" "+o.Kind] = o
	}
	settings, set := objects["v1 ConfigMap"], objects["apps/v1 DaemonSet"]
	namespace := objects["v1 Namespace"].Metadata.Name
	if len(objects) != 3 || namespace == "" || settings.Metadata.Namespace != namespace || set.Metadata.Namespace != namespace {
		t.Fatalf("the objects are %+v", objects)
	}
	for key, value := range set.Spec.Selector.MatchLabels {
		if set.Spec.Template.Metadata.Labels[key] != value {
			t.Errorf("the set selects %s=%s, and its pods do not have it", key, value)
		}
	}
	file := filepath.Join(t.TempDir(), "watcher.json")
	if err := os.WriteFile(file, []byte(settings.Data["watcher.json"]), 0o600); err != nil {
		t.Fatal(err)
	}
	c := set.Spec.Template.Spec.Containers[0]
	expectAccepted(t, file, c.Args)
	if example, err := os.ReadFile("watcher.json"); err != nil || string(example) != settings.Data["watcher.json"] {
		t.Errorf("the example is %s, the manifest has %s, %v", example, settings.Data["watcher.json"], err)
	}

	mounts := map[string]string{}
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	for _, v := range set.Spec.Template.Spec.Volumes {
		switch at := mounts[v.Name]; v.Name {
		case "containerd":
			if !strings.HasPrefix(c.Args[0], "--address="+at+"/") || v.HostPath.Path != at || v.HostPath.Type != "Directory" {
				t.Errorf("containerd's folder %+v is at %s, and the arguments are %q", v.HostPath, at, c.Args)
			}
		case "config":
			if at != filepath.Dir(config.DefaultFile) || v.ConfigMap.Name != settings.Metadata.Name {
				t.Errorf("the configuration %s is at %s", v.ConfigMap.Name, at)
			}
		default:
			t.Errorf("the volume %s is mounted nowhere", v.Name)
		}
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.ReadinessProbe.HTTPGet.Port != c.Ports[0].Name {
		t.Errorf("the probes are %+v and %+v", c.LivenessProbe, c.ReadinessProbe)
	}
}
