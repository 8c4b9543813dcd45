// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"sync"

	"github.com/containerd/errdefs"
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
	return credentialsOf(sync.OnceValues(func() (*configfile.ConfigFile, error) {
		file, err := config.Load("")
		if err == nil && !file.ContainsAuth() {
			file.CredentialsStore = credentials.DetectDefaultStore(file.CredentialsStore)
		}
		return file, err
	}))
}

// CredentialsFrom is [DockerCredentials] of the configuration in one file, which
// is read now. No other file is, and no store that it does not name is asked.
func CredentialsFrom(path string) (func(ctx context.Context, host string) (Credential, error), error) {
	content, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	file, err := config.LoadFromReader(content)
	if err != nil {
		return nil, fmt.Errorf("%s is no configuration of docker's: %w%.0w", path, err, errdefs.ErrInvalidArgument)
	}
	return credentialsOf(func() (*configfile.ConfigFile, error) { return file, nil }), nil
}

// credentialsOf looks credentials up in a configuration, each host's once.
func credentialsOf(load func() (*configfile.ConfigFile, error)) func(ctx context.Context, host string) (Credential, error) {
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
		// The error has what a helper printed, and is not to be found in ours.
		return Credential{}, fmt.Errorf("docker's credentials for %s: %s", host, withoutSecret(err.Error()))
	}
	return Credential{
		Username:     found.Username,
		Password:     found.Password,
		RefreshToken: found.IdentityToken,
		AccessToken:  found.RegistryToken,
	}, nil
}

// secretPattern finds where a helper's output may have a secret: its JSON, or
// what is left of that, to the end.
var secretPattern = regexp.MustCompile(`(?is)(\{|"?\b(secret|password|token)"?\s*[:=]).*`)

// withoutSecret cuts a secret off text, with all that comes after it.
func withoutSecret(text string) string {
	return secretPattern.ReplaceAllString(text, "(not shown)")
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
			switch {
			case err != nil:
				return Credential{}, &credentialError{err}
			case isForBasic(ctx) && found != (Credential{}) && (found.Username == "" || found.Password == ""):
				return Credential{}, errNoPassword
			}
			return found, nil
		},
		Cache:    schemeCache{auth.NewCache()},
		ClientID: agent,
	}
	client.SetUserAgent(agent)
	return client
}

// credentialError is a failure to find out what to log in with.
type credentialError struct{ error }

// Unwrap returns the reason.
func (e *credentialError) Unwrap() error { return e.error }

// errNoPassword is a login, by token, of no use for Basic auth.
var errNoPassword = errors.New("the registry wants a user and a password, and the stored login is none, perhaps a token")

// basicKey marks the context of a look for credentials for Basic auth.
type basicKey struct{}

// isForBasic reports whether ctx is so marked.
func isForBasic(ctx context.Context) bool { return ctx.Value(basicKey{}) != nil }

// schemeCache lets the look for credentials know what they are for, which
// oras-go tells its cache only.
type schemeCache struct{ auth.Cache }

// Set implements [auth.Cache].
func (c schemeCache) Set(ctx context.Context, registry string, scheme auth.Scheme, key string, fetch func(context.Context) (string, error)) (string, error) {
	return c.Cache.Set(ctx, registry, scheme, key, func(ctx context.Context) (string, error) {
		if scheme == auth.SchemeBasic {
			ctx = context.WithValue(ctx, basicKey{}, true)
		}
		return fetch(ctx)
	})
}
