// Package peers shows, with the real libraries against one endpoint, what README.md says of this
// library beside others.
package peers

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-secretsmanager-caching-go/v2/secretcache"
	"gocloud.dev/runtimevar"
	"gocloud.dev/runtimevar/awssecretsmanager"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

const plaintext = "swordfish"

// A reader returns the secret prod/db, in the form that the library gives it, and its plaintext.
type reader func(ctx context.Context) (form any, plain string, err error)

// readers are the libraries, each with a time to live, or a pause between two polls, of ttl.
var readers = map[string]func(t *testing.T, cfg aws.Config, ttl time.Duration) reader{
	"this library": func(t *testing.T, cfg aws.Config, ttl time.Duration) reader {
		env, err := secrets.New(
			secrets.WithAWSConfig(cfg),
			secrets.WithEnviron(map[string]string{"DB": "sm://prod/db"}),
			secrets.WithTTL(ttl),
			secrets.WithGrace(ttl),
		)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) (any, string, error) {
			v, err := env.Get(ctx, "DB")
			if err != nil {
				return v, "", err
			}
			return v, v.Reveal(), nil
		}
	},
	"aws-secretsmanager-caching-go": func(t *testing.T, cfg aws.Config, ttl time.Duration) reader {
		cache, err := secretcache.New(func(c *secretcache.Cache) {
			c.Client = secretsmanager.NewFromConfig(cfg)
			c.CacheItemTTL = ttl.Nanoseconds()
		})
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) (any, string, error) {
			text, err := cache.GetSecretStringWithContext(ctx, "prod/db")
			return text, text, err
		}
	},
	"gocloud.dev/runtimevar": func(t *testing.T, cfg aws.Config, ttl time.Duration) reader {
		v, err := awssecretsmanager.OpenVariable(
			secretsmanager.NewFromConfig(cfg),
			"prod/db",
			runtimevar.StringDecoder,
			&awssecretsmanager.Options{WaitDuration: ttl},
		)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		return func(ctx context.Context) (any, string, error) {
			s, err := v.Latest(ctx)
			if err != nil {
				return s, "", err
			}
			return s, s.Value.(string), nil
		}
	},
}

// start returns an endpoint that holds prod/db, and a configuration for it.
func start(t *testing.T) (*endpoint.Server, aws.Config) {
	server := endpoint.New(endpoint.Options{})
	t.Cleanup(server.Close)
	url, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	server.Region("eu-west-1").PutSecret("prod/db", plaintext)
	return server, aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", ""),
	}
}

// readTable returns the table of README.md that has a column for each of the libraries: row →
// library → cell.
func readTable(t *testing.T) map[string]map[string]string {
	text, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var libraries []string
	table := map[string]map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) == len(readers)+1 && readers[cells[1]] != nil:
			libraries = cells
		case libraries != nil && len(cells) == len(libraries):
			table[cells[0]] = map[string]string{}
			for i, library := range libraries[1:] {
				table[cells[0]][library] = cells[i+1]
			}
		case libraries != nil:
			return table
		}
	}
	t.Fatal("README.md has no table of the libraries")
	return nil
}

// TestComparison has a subtest per row of the table in README.md, and in it what each library does.
func TestComparison(t *testing.T) {
	table := readTable(t)
	seen := 1 // the line below the table's head
	for _, row := range []struct {
		name string
		do   func(t *testing.T, open func(t *testing.T, cfg aws.Config, ttl time.Duration) reader) string
	}{
		{"a role that allows GetSecretValue only",
			func(t *testing.T, open func(*testing.T, aws.Config, time.Duration) reader) string {
				works := func(actions string) bool {
					server, cfg := start(t)
					if err := server.SetPolicy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` +
						actions + `],"Resource":"*"}]}`); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					_, plain, err := open(t, cfg, time.Hour)(ctx)
					return err == nil && plain == plaintext
				}
				switch {
				case works(`"secretsmanager:GetSecretValue"`):
					return "works"
				case works(`"secretsmanager:GetSecretValue","secretsmanager:DescribeSecret"`):
					return "fails: it wants DescribeSecret too"
				}
				return "fails"
			}},
		{"calls for 50 readers of a cold secret",
			func(t *testing.T, open func(*testing.T, aws.Config, time.Duration) reader) string {
				server, cfg := start(t)
				server.SetLatency("*", 50*time.Millisecond)
				read := open(t, cfg, time.Hour)
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						if _, plain, err := read(t.Context()); err != nil || plain != plaintext {
							t.Errorf("got %v", err)
						}
					})
				}
				wg.Wait()
				return fmt.Sprint(server.Count("*"))
			}},
		{"a reader with a deadline of 100 ms, while another's fetch takes 1 s",
			func(t *testing.T, open func(*testing.T, aws.Config, time.Duration) reader) string {
				server, cfg := start(t)
				server.SetLatency("*", time.Second)
				read := open(t, cfg, time.Hour)
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() { read(t.Context()) })
				time.Sleep(50 * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				began := time.Now()
				if _, _, err := read(ctx); err == nil {
					return "gets the value late"
				}
				if time.Since(began) > 500*time.Millisecond {
					return "returns late"
				}
				return "returns in time"
			}},
		{"a secret that was deleted, 20 times to live ago",
			func(t *testing.T, open func(*testing.T, aws.Config, time.Duration) reader) string {
				server, cfg := start(t)
				read := open(t, cfg, 100*time.Millisecond)
				if _, _, err := read(t.Context()); err != nil {
					t.Fatal(err)
				}
				server.Region("eu-west-1").DeleteSecret("prod/db")
				for range 20 {
					time.Sleep(100 * time.Millisecond)
					done := make(chan error, 1)
					go func() {
						_, _, err := read(t.Context())
						done <- err
					}()
					select {
					case err := <-done:
						if err != nil {
							return "an error"
						}
					case <-time.After(5 * time.Second):
						return "does not return"
					}
				}
				return "is still served"
			}},
		{"what was read, printed with `%+v`",
			func(t *testing.T, open func(*testing.T, aws.Config, time.Duration) reader) string {
				_, cfg := start(t)
				form, _, err := open(t, cfg, time.Hour)(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(fmt.Sprintf("%+v", form), plaintext) {
					return "shows the plaintext"
				}
				return "is redacted"
			}},
		{"goroutines of its own after a read",
			func(t *testing.T, open func(*testing.T, aws.Config, time.Duration) reader) string {
				_, cfg := start(t)
				if _, _, err := open(t, cfg, time.Hour)(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond)
				stacks := make([]byte, 1<<20)
				n := 0
				for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
					for _, of := range []string{"runtimevar.", "secretcache.", "lambdasecrets/secrets.("} {
						if strings.Contains(stack, of) && !strings.Contains(stack, "compare.Test") {
							n++
							break
						}
					}
				}
				return fmt.Sprint(n)
			}},
	} {
		seen++
		t.Run(row.name, func(t *testing.T) {
			for library, open := range readers {
				t.Run(library, func(t *testing.T) {
					if got, want := row.do(t, open), table[row.name][library]; got != want {
						t.Errorf("got %q, and README.md says %q", got, want)
					}
				})
			}
		})
	}
	if seen != len(table) {
		t.Errorf("README.md has %d rows, and %d are shown here", len(table)-1, seen-1)
	}
}
