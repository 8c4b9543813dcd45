// SPDX-License-Identifier: Apache-2.0

//go:build linux

package engines

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CRINamespace is the namespace of containerd that Kubernetes' images are in.
const CRINamespace = "k8s.io"

// dialCRI connects to Kubernetes' interface of a containerd that has one.
func (c *Containerd) dialCRI(tb TB) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient("unix://"+c.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatalf("connect to the CRI: %v", err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// PullCRI pulls an image the way a kubelet does, for the machine's platform.
// The error is what the person sees whose pod does not start.
func (c *Containerd) PullCRI(tb TB, image string) error {
	tb.Helper()
	_, err := cri.NewImageServiceClient(c.dialCRI(tb)).PullImage(tb.Context(), &cri.PullImageRequest{
		Image: &cri.ImageSpec{Image: image},
	})
	return err
}

// ImageCRI is what a kubelet is told of an image, nil if it is not there.
func (c *Containerd) ImageCRI(tb TB, image string) *cri.Image {
	tb.Helper()
	answer, err := cri.NewImageServiceClient(c.dialCRI(tb)).ImageStatus(tb.Context(), &cri.ImageStatusRequest{
		Image: &cri.ImageSpec{Image: image},
	})
	if err != nil {
		tb.Fatalf("ask the CRI for %s: %v", image, err)
	}
	return answer.GetImage()
}

// CRIReady reports whether the runtime says to Kubernetes that it is ready.
func (c *Containerd) CRIReady(tb TB) bool {
	tb.Helper()
	answer, err := cri.NewRuntimeServiceClient(c.dialCRI(tb)).Status(tb.Context(), &cri.StatusRequest{})
	if err != nil {
		tb.Fatalf("ask the CRI for its status: %v", err)
	}
	for _, condition := range answer.GetStatus().GetConditions() {
		if condition.GetType() == cri.RuntimeReady {
			return condition.GetStatus()
		}
	}
	return false
}
