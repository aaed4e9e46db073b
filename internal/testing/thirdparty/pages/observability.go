//lint:file-ignore U1000 The pages quote what stands here; only tests call it.

package pages

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.opentelemetry.io/otel/metric"

	"github.com/lambdasecrets/secrets"
)

// region: oldest
func oldest(env *secrets.Env) (age time.Duration) {
	for _, r := range env.Refs() {
		if !r.FetchedAt.IsZero() { // else it is not resolved
			age = max(age, r.Age)
		}
	}
	return age
}

// endregion

func observe(meter metric.Meter, env *secrets.Env) error {
	// region: otel
	fetches, _ := meter.Int64ObservableCounter("secrets.fetches")
	stale, _ := meter.Int64ObservableCounter("secrets.stale")
	age, _ := meter.Float64ObservableGauge("secrets.age", metric.WithUnit("s"))
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := env.Stats()
		o.ObserveInt64(fetches, int64(s.Fetches))
		o.ObserveInt64(stale, int64(s.Stale))
		o.ObserveFloat64(age, oldest(env).Seconds())
		return nil
	}, fetches, stale, age)
	// endregion
	return err
}

// region: emf
func emf(env *secrets.Env, before secrets.Stats, function string) (line []byte, now secrets.Stats) {
	now = env.Stats()
	type m = map[string]any
	line, _ = json.Marshal(m{
		"_aws": m{"Timestamp": time.Now().UnixMilli(), "CloudWatchMetrics": []m{{
			"Namespace": function, "Dimensions": [][]string{{}},
			"Metrics": []m{{"Name": "SecretsFetches"}, {"Name": "SecretsStale"},
				{"Name": "SecretsAge", "Unit": "Seconds"}},
		}}},
		"SecretsFetches": now.Fetches - before.Fetches,
		"SecretsStale":   now.Stale - before.Stale,
		"SecretsAge":     oldest(env).Seconds(),
	})
	return line, now
}

// endregion

// region: tenant
func tenantKey(ctx context.Context, env *secrets.Env) (secrets.Value, error) {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok || lc.TenantID == "" {
		return secrets.Value{}, secrets.ErrNotFound
	}
	return env.Resolve(ctx, secrets.Secret("tenants/"+lc.TenantID+"/api"))
}

// endregion
