package pages

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/lambdasecrets/secrets"
)

func metered(t *testing.T) *secrets.Env {
	t.Helper()
	env, err := secrets.New(
		secrets.WithEnviron(map[string]string{"KEY": "sm://prod/canary"}),
		secrets.WithProvider(secrets.ProviderFunc(func(_ context.Context, ref secrets.Ref) (secrets.Value, error) {
			return secrets.NewValue("hunter2 of "+ref.ID(), "1"), nil
		})),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	return env
}

// secretive reports whether text tells a plaintext, a secret's name or a variable's.
func secretive(text string) bool {
	return strings.Contains(text, "hunter2") || strings.Contains(text, "canary") || strings.Contains(text, "KEY")
}

func TestObservability_OpenTelemetry(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("orders")
	if err := observe(meter, metered(t)); err != nil {
		t.Fatal(err)
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got.ScopeMetrics)
	if err != nil || secretive(string(text)) {
		t.Errorf("%s, %v", text, err)
	}
	seen := map[string]bool{}
	for _, m := range got.ScopeMetrics[0].Metrics {
		seen[m.Name] = true
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "secrets.fetches" &&
			sum.DataPoints[0].Value != 1 {
			t.Errorf("%d fetches", sum.DataPoints[0].Value)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

func TestObservability_EMF(t *testing.T) {
	t.Parallel()
	env := metered(t)
	line, before := emf(env, secrets.Stats{}, "orders")
	if secretive(string(line)) || !strings.Contains(string(line), `"SecretsFetches":1`) {
		t.Errorf("%s", line)
	}
	if line, _ = emf(env, before, "orders"); !strings.Contains(string(line), `"SecretsFetches":0`) {
		t.Errorf("%s", line)
	}
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatal(err)
	}
	of := fields["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0].(map[string]any)
	for _, m := range of["Metrics"].([]any) {
		if name := m.(map[string]any)["Name"].(string); fields[name] == nil {
			t.Errorf("%s has no value", name)
		}
	}
}

func TestPlaces_Tenant(t *testing.T) {
	t.Parallel()
	env := metered(t)
	for _, tenant := range []string{"a", "b"} {
		ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{TenantID: tenant})
		if v, err := tenantKey(ctx, env); err != nil || v.Reveal() != "hunter2 of tenants/"+tenant+"/api" {
			t.Errorf("%s: %v", tenant, err)
		}
	}
	if _, err := tenantKey(t.Context(), env); !errors.Is(err, secrets.ErrNotFound) {
		t.Errorf("without a tenant: %v", err)
	}
}
