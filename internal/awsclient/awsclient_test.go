package awsclient

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestRenew_OnlyWhereItHelps(t *testing.T) {
	t.Parallel()
	loads := 0
	s := &Source{load: func(context.Context) (aws.Config, error) { loads++; return aws.Config{Region: region}, nil }}
	_, n, err := s.Config(t.Context())
	if err != nil || loads != 1 {
		t.Fatal(loads, err)
	}
	if s.Renew(n) {
		t.Error("a configuration that never worked was renewed")
	}
	s.Proven(n)
	for range 2 {
		if !s.Renew(n) {
			t.Error("two calls that failed with one configuration should both try again")
		}
	}
	_, next, _ := s.Config(t.Context())
	if next == n || loads != 2 {
		t.Errorf("configuration %d after %d, %d loads", next, n, loads)
	}
	s.Proven(n) // a late answer of the old one
	if !s.Renew(n) {
		t.Error("a newer configuration is there, and no reason to use it")
	}
	if s.Renew(next) {
		t.Error("the new configuration never worked")
	}
	if _, n, _ := s.Config(t.Context()); n != next {
		t.Error("it was loaded again all the same")
	}
}

func TestConfig_LoadFails(t *testing.T) {
	t.Parallel()
	broken := true
	c := Clients[int]{New: func(aws.Config) int { return 1 },
		Source: &Source{load: func(context.Context) (aws.Config, error) {
			if broken {
				return aws.Config{}, errors.New("no such profile")
			}
			return aws.Config{}, nil
		}}}
	if _, _, _, err := c.Get(t.Context(), region, ""); err == nil {
		t.Fatal("no error")
	}
	broken = false
	if _, _, _, err := c.Get(t.Context(), region, ""); err != nil {
		t.Fatalf("a failed load is remembered: %v", err)
	}
}

// Loading is free of calls the first time, and asks for new credentials from the second on.
func TestFixed_Invalidates(t *testing.T) {
	t.Parallel()
	retrieved := 0
	cache := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		retrieved++
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret-access-key"}, nil
	}))
	cache.Retrieve(t.Context())
	s := Fixed(aws.Config{Credentials: cache})
	for want := 1; want <= 2; want++ {
		cfg, n, _ := s.Config(t.Context())
		cfg.Credentials.Retrieve(t.Context())
		if retrieved != want {
			t.Errorf("credentials were retrieved %d times, want %d", retrieved, want)
		}
		s.Proven(n)
		s.Renew(n)
	}
}

func TestClients_OnePerRegion(t *testing.T) {
	t.Parallel()
	var made []string
	c := Clients[string]{Source: Fixed(aws.Config{Region: region}), New: func(cfg aws.Config) string {
		made = append(made, cfg.Region)
		return cfg.Region
	}}
	for _, tc := range []struct{ ask, want string }{{"", region}, {region, region}, {"us-east-1", "us-east-1"},
		{"", region}, {"us-east-1", "us-east-1"}} {
		client, in, n, err := c.Get(t.Context(), tc.ask, "")
		if client != tc.want || in != tc.want || err != nil {
			t.Errorf("Get(%q): client %q, Region %q, %v", tc.ask, client, in, err)
		}
		c.Source.Proven(n)
	}
	if len(made) != 2 {
		t.Errorf("clients made: %v", made)
	}
	_, _, n, _ := c.Get(t.Context(), "", "")
	c.Source.Renew(n)
	c.Get(t.Context(), "", "")
	if len(made) != 3 {
		t.Errorf("after new credentials, clients made: %v", made)
	}
}
