package deploy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// A plan evaluates a Terraform configuration as far as ours goes; what it does not know fails the
// test.
type plan struct {
	t         *testing.T
	blocks    map[string]*hclsyntax.Block     // "resource aws_kms_key orders"
	resources map[string]map[string]cty.Value // type → name → attributes
	data      map[string]map[string]cty.Value // likewise
	vars      map[string]cty.Value
}

// terraform applies main.tf to store.
func terraform(t *testing.T, store *endpoint.Store) deployment {
	file, diags := hclparse.NewParser().ParseHCLFile("../../../../examples/handler/main.tf")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p := &plan{
		t:         t,
		blocks:    map[string]*hclsyntax.Block{},
		resources: map[string]map[string]cty.Value{},
		data:      map[string]map[string]cty.Value{},
		vars:      map[string]cty.Value{},
	}
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		p.blocks[strings.Join(append([]string{b.Type}, b.Labels...), " ")] = b
		if b.Type == "variable" {
			if d := b.Body.Attributes["default"]; d != nil {
				p.vars[b.Labels[0]] = p.value(d.Expr)
			}
		}
	}
	for _, name := range []string{"api_key", "database_password"} {
		b := p.blocks["variable "+name]
		if b == nil || b.Body.Attributes["ephemeral"] == nil || p.value(b.Body.Attributes["ephemeral"].Expr).False() {
			t.Errorf("variable %s is not ephemeral: its plaintext would be in the plan", name)
		}
	}
	p.vars["api_key"], p.vars["database_password"] = cty.StringVal(apiKey), cty.StringVal("a-password")
	p.set(p.data, "aws_region", "current", "region", region)
	p.set(p.data, "aws_partition", "current", "partition", "aws", "dns_suffix", "amazonaws.com")
	p.set(p.data, "archive_file", "function", "output_path", "function.zip", "output_base64sha256", "")

	d := deployment{underKey: map[string]string{}}
	key := store.CreateKey()
	p.set(p.resources, "aws_kms_key", "orders", "arn", key, "key_id", key[strings.LastIndex(key, "/")+1:])
	store.CreateAlias(p.str("aws_kms_alias orders", "name"), p.str("aws_kms_alias orders", "target_key_id"))
	p.vars["signing_key"] = cty.StringVal(encrypted(store, "alias/orders", "orders"))

	const secret = "aws_secretsmanager_secret database"
	name := p.str(secret, "name")
	arn := store.CreateSecret(name, p.str(secret, "kms_key_id"))
	p.set(p.resources, "aws_secretsmanager_secret", "database", "arn", arn, "id", arn, "name", name)
	const version = "aws_secretsmanager_secret_version database"
	if p.str(version, "secret_id") != arn {
		t.Error("the secret's value goes elsewhere")
	}
	store.PutSecret(name, p.str(version, "secret_string_wo"))
	d.underKey[name] = p.str(secret, "kms_key_id")

	const parameter = "aws_ssm_parameter api_key"
	name = p.str(parameter, "name")
	store.PutParameter(
		endpoint.Parameter{
			Name:  name,
			Type:  p.str(parameter, "type"),
			KeyID: p.str(parameter, "key_id"),
			Value: p.str(parameter, "value_wo"),
		},
	)
	p.set(
		p.resources,
		"aws_ssm_parameter",
		"api_key",
		"name",
		name,
		"arn",
		"arn:aws:ssm:"+region+":"+account+":parameter"+name,
	)
	d.underKey[name] = p.str(parameter, "key_id")

	p.set(
		p.resources,
		"aws_iam_role",
		"function",
		"name",
		p.str("aws_iam_role function", "name"),
		"arn",
		"arn:aws:iam::"+account+":role/orders",
	)
	if p.str("aws_iam_role_policy secrets", "role") != p.str("aws_iam_role function", "name") {
		t.Error("the policy is another role's")
	}
	if err := json.Unmarshal([]byte(p.str("aws_iam_role_policy secrets", "policy")), &d.policy); err != nil {
		t.Fatal(err)
	}

	if log := p.str("aws_iam_role_policy_attachment log",
		"policy_arn"); log != "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole" {
		t.Errorf("for the log, the role has %s", log)
	}

	const group = "aws_cloudwatch_log_group function"
	d.logGroup, d.retention = p.str(group, "name"), convert[int](t, p.attr(group, "retention_in_days"))
	p.set(p.resources, "aws_cloudwatch_log_group", "function", "name", d.logGroup)
	for _, name := range []string{"denied", "dropped"} {
		from, alarm := "aws_cloudwatch_log_metric_filter "+name, "aws_cloudwatch_metric_alarm "+name
		to := p.block(from).Body.Blocks[0].Body.Attributes
		metric := p.value(to["namespace"].Expr).AsString() + "/" + p.value(to["name"].Expr).AsString()
		d.filters = append(d.filters, filter{p.str(from, "log_group_name"), p.str(from, "pattern"), metric})
		d.alarms = append(d.alarms, p.str(alarm, "namespace")+"/"+p.str(alarm, "metric_name"))
	}
	d.dashboard = p.str("aws_cloudwatch_dashboard function", "dashboard_body")

	const function = "aws_lambda_function orders"
	if p.str(function, "role") != "arn:aws:iam::"+account+":role/orders" {
		t.Error("the function has another role")
	}
	d.runtime, d.handler = p.str(function, "runtime"), p.str(function, "handler")
	d.architectures = convert[[]string](t, p.attr(function, "architectures"))
	d.timeout = convert[int](t, p.attr(function, "timeout"))
	for _, b := range p.block(function).Body.Blocks {
		if b.Type == "logging_config" && p.value(b.Body.Attributes["log_group"].Expr).AsString() != d.logGroup {
			t.Error("the function logs elsewhere")
		}
		if b.Type == "environment" {
			d.environ = convert[map[string]string](t, p.plain(p.value(b.Body.Attributes["variables"].Expr)))
		}
	}
	return d
}

func (p *plan) set(in map[string]map[string]cty.Value, kind, name string, attributes ...string) {
	object := map[string]cty.Value{}
	for i := 0; i < len(attributes); i += 2 {
		object[attributes[i]] = cty.StringVal(attributes[i+1])
	}
	if in[kind] == nil {
		in[kind] = map[string]cty.Value{}
	}
	in[kind][name] = cty.ObjectVal(object)
}

func (p *plan) block(resource string) *hclsyntax.Block {
	p.t.Helper()
	b := p.blocks["resource "+resource]
	if b == nil {
		p.t.Fatalf("the configuration makes no %s", resource)
	}
	return b
}

// attr returns the value of a resource's attribute.
func (p *plan) attr(resource, name string) any {
	p.t.Helper()
	a := p.block(resource).Body.Attributes[name]
	if a == nil {
		p.t.Fatalf("%s has no %s", resource, name)
	}
	return p.plain(p.value(a.Expr))
}

func (p *plan) str(resource, name string) string {
	p.t.Helper()
	s, ok := p.attr(resource, name).(string)
	if !ok {
		p.t.Fatalf("%s: %s is no string", resource, name)
	}
	return s
}

func (p *plan) value(e hcl.Expression) cty.Value {
	p.t.Helper()
	objects := func(in map[string]map[string]cty.Value) map[string]cty.Value {
		out := map[string]cty.Value{}
		for kind, byName := range in {
			out[kind] = cty.ObjectVal(byName)
		}
		return out
	}
	vars := objects(p.resources)
	vars["var"], vars["data"] = cty.ObjectVal(p.vars), cty.ObjectVal(objects(p.data))
	v, diags := e.Value(
		&hcl.EvalContext{
			Variables: vars,
			Functions: map[string]function.Function{"jsonencode": stdlib.JSONEncodeFunc},
		},
	)
	if diags.HasErrors() {
		p.t.Fatal(diags)
	}
	return v
}

func (p *plan) plain(v cty.Value) any {
	return parsed(p.t, string(must[[]byte](p.t)(ctyjson.Marshal(v, v.Type()))))
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func jsonText(t *testing.T, v any) string { return string(must[[]byte](t)(json.Marshal(v))) }
