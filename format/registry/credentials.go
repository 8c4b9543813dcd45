// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/credentials"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// dockerHubKey is what Docker Hub's credentials are filed under, a URL of the
// API's first version.
const dockerHubKey = "https://index.docker.io/v1/"

// DockerCredentials returns a source of the credentials that `docker login`
// stored: auths, credsStore and credHelpers of config.json in $DOCKER_CONFIG
// or ~/.docker, and DOCKER_AUTH_CONFIG before them. The configuration is read
// when first needed, and a host's credentials are looked up once.
func DockerCredentials() func(ctx context.Context, host string) (Credential, error) {
	load := sync.OnceValues(func() (*configfile.ConfigFile, error) {
		file, err := config.Load("")
		if err == nil && !file.ContainsAuth() {
			file.CredentialsStore = credentials.DetectDefaultStore(file.CredentialsStore)
		}
		return file, err
	})
	var mu sync.Mutex
	known := map[string]func() (Credential, error){} // by host
	return func(_ context.Context, host string) (Credential, error) {
		mu.Lock()
		lookup, ok := known[host]
		if !ok {
			lookup = sync.OnceValues(func() (Credential, error) {
				file, err := load()
				if err != nil {
					return Credential{}, fmt.Errorf("docker's configuration: %w", err)
				}
				return fromConfig(file, host)
			})
			known[host] = lookup
		}
		mu.Unlock()
		return lookup()
	}
}

// fromConfig looks up host in docker's configuration.
func fromConfig(file *configfile.ConfigFile, host string) (Credential, error) {
	key := host
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		key = dockerHubKey
	}
	found, err := file.GetAuthConfig(key)
	if err != nil {
		return Credential{}, fmt.Errorf("docker's credentials for %s: %w", host, err)
	}
	return Credential{
		Username:     found.Username,
		Password:     found.Password,
		RefreshToken: found.IdentityToken,
		AccessToken:  found.RegistryToken,
	}, nil
}

// userAgent returns what to introduce ourselves as.
func userAgent(o Options) string {
	if o.UserAgent == "" {
		return "manifest-format"
	}
	return o.UserAgent
}

// newAuthClient returns a client that answers the registry's challenges.
func newAuthClient(transport http.RoundTripper, o Options) *auth.Client {
	agent := userAgent(o)
	client := &auth.Client{
		Client: &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		Credential: func(ctx context.Context, host string) (Credential, error) {
			found, err := o.Credentials(ctx, host)
			if err != nil {
				return Credential{}, &credentialError{err}
			}
			return found, nil
		},
		Cache:    auth.NewCache(),
		ClientID: agent,
	}
	client.SetUserAgent(agent)
	return client
}

// credentialError is a failure to find out what to log in with.
type credentialError struct{ error }

// Unwrap returns the reason.
func (e *credentialError) Unwrap() error { return e.error }
