// Command contenders holds the contenders of other modules. The driver runs it: see -peers there.
// It is a program of its own because its dependencies take minutes to build; the driver measures
// the others without it. All contenders are built on the same SDK versions.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-secretsmanager-caching-go/v2/secretcache"
	"github.com/helmfile/vals"
	"github.com/maypok86/otter/v2"
	"gocloud.dev/runtimevar"
	"gocloud.dev/runtimevar/awsparamstore"
	"gocloud.dev/runtimevar/awssecretsmanager"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
)

func main() {
	bench.Main([]bench.Contender{
		{Name: "caching-go", Lacks: "pk", Cold: cachingCold, Read: cachingRead, Refresh: cachingRefresh},
		{Name: "gocloud-runtimevar", Lacks: "k", Cold: gocloudCold, Read: gocloudRead},
		{Name: "vals", Cold: valsCold},
		{Name: "otter", Read: otterRead},
	})
}

// open opens a variable for each reference. Each has a goroutine that polls.
func open(ctx context.Context, s bench.Set) ([]*runtimevar.Variable, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	parameters, secrets := ssm.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)
	var vars []*runtimevar.Variable
	for i := range s.Parameters {
		name, _ := bench.Parameter(i)
		v, err := awsparamstore.OpenVariable(parameters, name, runtimevar.StringDecoder, nil)
		if err != nil {
			return nil, err
		}
		vars = append(vars, v)
	}
	for i := range s.Secrets {
		name, _ := bench.Secret(i)
		v, err := awssecretsmanager.OpenVariable(secrets, name, runtimevar.StringDecoder, nil)
		if err != nil {
			return nil, err
		}
		vars = append(vars, v)
	}
	return vars, nil
}

func gocloudCold(ctx context.Context, _ *bench.World, s bench.Set) ([]string, error) {
	vars, err := open(ctx, s)
	var values []string
	for _, v := range vars {
		latest, err := v.Latest(ctx)
		if err != nil {
			return nil, err
		}
		values = append(values, latest.Value.(string))
	}
	return values, err
}

func gocloudRead(ctx context.Context, _ *bench.World, _ bench.Set) (func(int), error) {
	vars, err := open(ctx, bench.Set{Secrets: bench.ReadNames})
	if err != nil {
		return nil, err
	}
	for _, v := range vars {
		if _, err := v.Latest(ctx); err != nil {
			return nil, err
		}
	}
	return func(n int) {
		for i := range n {
			if _, err := vars[i%bench.ReadNames].Latest(ctx); err != nil {
				panic(err)
			}
		}
	}, nil
}

func valsCold(_ context.Context, w *bench.World, s bench.Set) ([]string, error) {
	r, err := vals.New(vals.Options{LogOutput: io.Discard})
	if err != nil {
		return nil, err
	}
	template := map[string]any{}
	var keys []string
	add := func(ref string) {
		keys = append(keys, fmt.Sprintf("V%02d", len(keys)))
		template[keys[len(keys)-1]] = ref
	}
	for i := range s.Parameters {
		name, _ := bench.Parameter(i)
		add("ref+awsssm://" + strings.TrimPrefix(name, "/"))
	}
	for i := range s.Secrets {
		name, _ := bench.Secret(i)
		add("ref+awssecrets://" + name)
	}
	for i := range s.Ciphertexts {
		blob, err := base64.StdEncoding.DecodeString(w.Ciphertexts[i])
		if err != nil {
			return nil, err
		}
		add("ref+awskms://" + base64.URLEncoding.EncodeToString(blob) + "?context=" + url.QueryEscape(`{"app":"x"}`))
	}
	got, err := r.Eval(template)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, key := range keys {
		values = append(values, fmt.Sprint(got[key]))
	}
	return values, nil
}

func newCaching(ctx context.Context, ttl time.Duration) (*secretcache.Cache, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return secretcache.New(func(c *secretcache.Cache) {
		c.Client = secretsmanager.NewFromConfig(cfg)
		c.CacheItemTTL = ttl.Nanoseconds()
	})
}

func cachingSecrets(ctx context.Context, c *secretcache.Cache, n int) (values []string, err error) {
	for i := range n {
		name, _ := bench.Secret(i)
		value, err := c.GetSecretStringWithContext(ctx, name)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

func cachingCold(ctx context.Context, _ *bench.World, s bench.Set) ([]string, error) {
	c, err := newCaching(ctx, time.Hour)
	if err != nil {
		return nil, err
	}
	return cachingSecrets(ctx, c, s.Secrets)
}

func cachingRead(ctx context.Context, _ *bench.World, _ bench.Set) (func(int), error) {
	c, err := newCaching(ctx, time.Hour)
	if err != nil {
		return nil, err
	}
	if _, err := cachingSecrets(ctx, c, bench.ReadNames); err != nil {
		return nil, err
	}
	var names [bench.ReadNames]string
	for i := range names {
		names[i], _ = bench.Secret(i)
	}
	return func(n int) {
		for i := range n {
			if _, err := c.GetSecretString(names[i%bench.ReadNames]); err != nil {
				panic(err)
			}
		}
	}, nil
}

// cachingRefresh lets the time to live pass. There is one for the whole cache, so the others read
// from a second one.
func cachingRefresh(ctx context.Context, _ *bench.World) (due, valid func() error, err error) {
	const ttl = time.Second
	c, err := newCaching(ctx, ttl)
	if err != nil {
		return nil, nil, err
	}
	if _, err := cachingSecrets(ctx, c, bench.Most); err != nil {
		return nil, nil, err
	}
	long, err := newCaching(ctx, time.Hour)
	if err != nil {
		return nil, nil, err
	}
	if _, err := cachingSecrets(ctx, long, 1); err != nil {
		return nil, nil, err
	}
	time.Sleep(ttl + 100*time.Millisecond)
	due = func() error { _, err := cachingSecrets(ctx, c, bench.Most); return err }
	return due, func() error { _, err := cachingSecrets(ctx, long, 1); return err }, nil
}

func otterRead(_ context.Context, _ *bench.World, _ bench.Set) (func(int), error) {
	c, err := otter.New(
		&otter.Options[string, string]{
			MaximumSize:      1000,
			ExpiryCalculator: otter.ExpiryWriting[string, string](time.Hour),
		},
	)
	if err != nil {
		return nil, err
	}
	var names [bench.ReadNames]string
	for i := range bench.Most {
		name, value := bench.Secret(i)
		c.Set(name, value)
		if i < len(names) {
			names[i] = name
		}
	}
	if _, ok := c.GetIfPresent(names[0]); !ok {
		return nil, errors.New("otter lost an entry")
	}
	return func(n int) {
		for i := range n {
			if _, ok := c.GetIfPresent(names[i%bench.ReadNames]); !ok {
				panic("expired")
			}
		}
	}, nil
}
