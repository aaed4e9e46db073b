package pages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-xray-sdk-go/instrumentation/awsv2"
	"github.com/aws/aws-xray-sdk-go/strategy/ctxmissing"
	"github.com/aws/aws-xray-sdk-go/xray"
	"go.opentelemetry.io/contrib/instrumentation/github.com/aws/aws-sdk-go-v2/otelaws"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/lambdasecrets/secrets"
	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// traced returns an Env whose SDK is instrumented, in front of an endpoint with one secret.
func traced(t *testing.T, instrument func(*aws.Config)) *secrets.Env {
	t.Helper()
	s := endpoint.New(endpoint.Options{})
	url, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Region("eu-west-1").PutSecret("prod/canary", "hunter2")
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
		})}
	instrument(&cfg)
	env, err := secrets.New(secrets.WithAWSConfig(cfg),
		secrets.WithEnviron(map[string]string{"KEY": "sm://prod/canary"}))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// The span of the SDK's call is under that of the caller who began it; a cached read makes none.
func TestTraces_OpenTelemetry(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	env := traced(t, func(cfg *aws.Config) {
		otelaws.AppendMiddlewares(&cfg.APIOptions, otelaws.WithTracerProvider(provider))
	})
	ctx, parent := provider.Tracer("orders").Start(t.Context(), "invocation")
	for range 2 {
		if _, err := env.Get(ctx, "KEY"); err != nil {
			t.Fatal(err)
		}
	}
	spans := exporter.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans for one call and one cached read, want 1", len(spans))
	}
	s := spans[0]
	if s.Parent.SpanID() != parent.SpanContext().SpanID() || !strings.Contains(s.Name, "GetSecretValue") {
		t.Errorf("the span %q is under %v, want the invocation", s.Name, s.Parent.SpanID())
	}
	if text := fmt.Sprint(s.Name, s.Attributes, s.Events, s.Status); secretive(text) {
		t.Errorf("the span tells a secret or its name: %s", text)
	}
}

// The same with X-Ray, whose daemon is a socket of the test.
func TestTraces_XRay(t *testing.T) {
	t.Parallel()
	daemon, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	env := traced(t, func(cfg *aws.Config) { awsv2.AWSV2Instrumentor(&cfg.APIOptions) })
	emitter, err := xray.NewDefaultEmitter(daemon.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := xray.ContextWithConfig(t.Context(), xray.Config{
		Emitter: emitter, DaemonAddr: daemon.LocalAddr().String(),
		ContextMissingStrategy: ctxmissing.NewDefaultRuntimeErrorStrategy(), // which panics
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, segment := xray.BeginSegment(ctx, "invocation")
	for range 2 {
		if _, err := env.Get(ctx, "KEY"); err != nil {
			t.Fatal(err)
		}
	}
	segment.Close(nil)
	packet := make([]byte, 64<<10)
	daemon.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, _, err := daemon.ReadFrom(packet)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := bytes.Cut(packet[:n], []byte("\n"))
	var got struct {
		Name        string
		Subsegments []struct {
			Name, Namespace string
			AWS             struct{ Operation string }
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "invocation" || len(got.Subsegments) != 1 || got.Subsegments[0].AWS.Operation != "GetSecretValue" {
		t.Errorf("want one call under the invocation: %s", text)
	}
	if secretive(string(text)) {
		t.Errorf("the segment tells a secret or its name: %s", text)
	}
}
