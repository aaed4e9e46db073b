// Package sdk resolves the sets of references by hand, with the AWS SDK alone, in the ways that
// people write.
package sdk

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/lambdasecrets/secrets/internal/testing/benchmarks/bench"
)

// Clients are the three, built as the SDK's documentation shows.
type Clients struct {
	KMS     *kms.Client
	SSM     *ssm.Client
	Secrets *secretsmanager.Client
}

// New builds them.
func New(ctx context.Context) (Clients, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return Clients{}, err
	}
	return Clients{kms.NewFromConfig(cfg), ssm.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)}, nil
}

func (c Clients) Parameter(ctx context.Context, i int) (string, error) {
	name, _ := bench.Parameter(i)
	out, err := c.SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	return *out.Parameter.Value, nil
}

func (c Clients) Secret(ctx context.Context, i int) (string, error) {
	name, _ := bench.Secret(i)
	out, err := c.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

func (c Clients) Ciphertext(ctx context.Context, w *bench.World, i int) (string, error) {
	blob, err := base64.StdEncoding.DecodeString(w.Ciphertexts[i])
	if err != nil {
		return "", err
	}
	out, err := c.KMS.Decrypt(
		ctx,
		&kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"app": "x"}},
	)
	if err != nil {
		return "", err
	}
	return string(out.Plaintext), nil
}

// One makes a single call on a fresh client and connection: the floor of a cold start, of the
// slowest kind, since all kinds wait for the endpoint for the same time and Secrets Manager's
// answer is the longest.
func One(ctx context.Context, _ *bench.World, s bench.Set) ([]string, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	value, err := Clients{Secrets: secretsmanager.NewFromConfig(cfg)}.Secret(ctx, 0)
	return []string{value}, err
}

// Serial asks for one after the other, as the snippet in the Secrets Manager console does.
func Serial(ctx context.Context, w *bench.World, s bench.Set) ([]string, error) {
	return calls(ctx, w, s, func(n int, do func(int)) {
		for i := range n {
			do(i)
		}
	})
}

// Parallel asks for all at once.
func Parallel(ctx context.Context, w *bench.World, s bench.Set) ([]string, error) {
	return calls(ctx, w, s, func(n int, do func(int)) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	})
}

func calls(ctx context.Context, w *bench.World, s bench.Set, each func(n int, do func(int))) ([]string, error) {
	c, err := New(ctx)
	if err != nil {
		return nil, err
	}
	n := s.Parameters + s.Secrets + s.Ciphertexts
	values, errs := make([]string, n), make([]error, n)
	each(n, func(i int) {
		switch {
		case i < s.Parameters:
			values[i], errs[i] = c.Parameter(ctx, i)
		case i < s.Parameters+s.Secrets:
			values[i], errs[i] = c.Secret(ctx, i-s.Parameters)
		default:
			values[i], errs[i] = c.Ciphertext(ctx, w, i-s.Parameters-s.Secrets)
		}
	})
	return values, errors.Join(errs...)
}

// Batched is what somebody writes who knows the APIs well: GetParameters in tens,
// BatchGetSecretValue in twenties, Decrypt one each, all at once.
func Batched(ctx context.Context, w *bench.World, s bench.Set) ([]string, error) {
	c, err := New(ctx)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	found := map[string]string{} // name → value
	call := func(do func() (map[string]string, error)) {
		wg.Go(func() {
			got, err := do()
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			for name, value := range got {
				found[name] = value
			}
		})
	}
	var keys []string
	for from := 0; from < s.Parameters; from += 10 {
		var names []string
		for i := from; i < min(from+10, s.Parameters); i++ {
			name, _ := bench.Parameter(i)
			names = append(names, name)
		}
		keys = append(keys, names...)
		call(func() (map[string]string, error) {
			out, err := c.SSM.GetParameters(
				ctx,
				&ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)},
			)
			if err != nil {
				return nil, err
			}
			got := map[string]string{}
			for _, p := range out.Parameters {
				got[*p.Name] = *p.Value
			}
			return got, nil
		})
	}
	for from := 0; from < s.Secrets; from += 20 {
		var names []string
		for i := from; i < min(from+20, s.Secrets); i++ {
			name, _ := bench.Secret(i)
			names = append(names, name)
		}
		keys = append(keys, names...)
		call(func() (map[string]string, error) {
			out, err := c.Secrets.BatchGetSecretValue(
				ctx,
				&secretsmanager.BatchGetSecretValueInput{SecretIdList: names},
			)
			if err != nil {
				return nil, err
			}
			got := map[string]string{}
			for _, v := range out.SecretValues {
				got[*v.Name] = *v.SecretString
			}
			return got, nil
		})
	}
	for i := range s.Ciphertexts {
		keys = append(keys, w.Ciphertexts[i])
		call(func() (map[string]string, error) {
			value, err := c.Ciphertext(ctx, w, i)
			return map[string]string{w.Ciphertexts[i]: value}, err
		})
	}
	wg.Wait()
	values := make([]string, len(keys))
	for i, key := range keys {
		values[i] = found[key]
	}
	return values, errors.Join(errs...)
}
