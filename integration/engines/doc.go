// SPDX-License-Identifier: Apache-2.0

// Package engines starts the real programs that images pass through, for
// tests and for the demo: registries, BuildKit, containerd, Docker Engine, and
// the command-line clients that talk to them.
//
// An engine is a process of the caller's own. It listens on a unix socket or
// on a port of 127.0.0.1 that the kernel chose, keeps its data in a temporary
// folder, is ready when Start returns, and is gone with all its children when
// the test ends, also when the test binary is killed. Nothing sleeps: an engine
// is ready when its log says so.
//
//	reg := engines.StartRegistry(t, engines.RegistryOptions{})
//	bk := engines.StartBuildkitd(t, engines.BuildkitdOptions{})
//	bk.Build(t, engines.Build{
//		Context:   fstest.MapFS{"Dockerfile": {Data: []byte("FROM scratch\nCOPY Dockerfile /\n")}},
//		Platforms: []string{"linux/amd64", "linux/arm64"},
//		Output:    engines.Push(reg.Ref("app:1"), "oci-mediatypes=true"),
//	})
//	home := engines.NewHome(t, reg.Addr)
//	out := home.Run(t, "crane", "manifest", reg.Ref("app:1"))
//
// The programs come from the repository's bin folder, which `make tools`
// fills. A program that is missing fails the test, it never skips it.
package engines
