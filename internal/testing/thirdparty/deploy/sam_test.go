package deploy

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
)

// A stack evaluates a CloudFormation template as far as ours goes; what it does not know fails the
// test.
type stack struct {
	t      *testing.T
	values map[string]string // what Ref returns → of a parameter, a pseudo parameter, a resource
	arns   map[string]string // what GetAtt NAME.Arn returns
}

// sam deploys template.yaml into store.
func sam(t *testing.T, store *endpoint.Store) deployment {
	text := must[[]byte](t)(os.ReadFile("../../../../examples/handler/template.yaml"))
	var template struct {
		Parameters map[string]map[string]any `yaml:"Parameters"`
		Conditions map[string]yaml.Node      `yaml:"Conditions"`
		Resources  map[string]struct {
			Type       string    `yaml:"Type"`
			Condition  string    `yaml:"Condition"`
			Properties yaml.Node `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, arns: map[string]string{}, values: map[string]string{
		"AWS::Region": region, "AWS::AccountId": account, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
	}}
	for name, p := range template.Parameters {
		if d, ok := p["Default"].(string); ok {
			s.values[name] = d
		}
	}
	if p := template.Parameters["ApiKey"]; p["NoEcho"] != true {
		t.Error("the console shows the parameter ApiKey")
	}
	s.values["ApiKey"] = apiKey

	d := deployment{underKey: map[string]string{}}
	// In the order of their dependencies.
	for _, kind := range []string{"AWS::KMS::Key", "AWS::KMS::Alias", "AWS::SecretsManager::Secret",
		"AWS::SSM::Parameter", "AWS::Logs::LogGroup", "AWS::Logs::MetricFilter",
		"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Serverless::Function"} {
		found := false
		for name, r := range template.Resources {
			if r.Type != kind {
				continue
			}
			found = true
			if kind == "AWS::Serverless::Function" {
				s.values["SigningKey"] = encrypted(store, "alias/"+s.values["FunctionName"], s.values["FunctionName"])
				condition := template.Conditions[r.Condition]
				if s.eval(&condition) != true {
					t.Error("with a signing key, the function is not made")
				}
			}
			s.make(store, name, kind, s.eval(&r.Properties).(map[string]any), &d)
		}
		if !found {
			t.Fatalf("the template makes no %s", kind)
		}
	}
	for name, r := range template.Resources {
		if _, made := s.values[name]; !made {
			t.Errorf("%s is of a type that this test does not know: %s", name, r.Type)
		}
	}
	return d
}

// make creates one resource.
func (s *stack) make(store *endpoint.Store, name, kind string, p map[string]any, d *deployment) {
	str := func(key string) string { v, _ := p[key].(string); return v }
	switch kind {
	case "AWS::KMS::Key":
		arn := store.CreateKey()
		s.values[name], s.arns[name] = arn[strings.LastIndex(arn, "/")+1:], arn
	case "AWS::KMS::Alias":
		store.CreateAlias(str("AliasName"), str("TargetKeyId"))
		s.values[name] = str("AliasName")
	case "AWS::SecretsManager::Secret":
		generate := p["GenerateSecretString"].(map[string]any)
		value := convert[map[string]any](s.t, parsed(s.t, generate["SecretStringTemplate"].(string)))
		value[generate["GenerateStringKey"].(string)] = "a-generated-password"
		s.values[name] = store.CreateSecret(str("Name"), str("KmsKeyId"))
		store.PutSecret(str("Name"), jsonText(s.t, value))
		if key := str("KmsKeyId"); key != "" {
			d.underKey[str("Name")] = key
		}
	case "AWS::SSM::Parameter":
		if str("Type") == "SecureString" {
			s.t.Error("CloudFormation cannot make a SecureString")
		}
		store.PutParameter(endpoint.Parameter{Name: str("Name"), Type: str("Type"), Value: str("Value")})
		s.values[name] = str("Name")
	case "AWS::Logs::LogGroup":
		s.values[name] = str("LogGroupName")
		d.logGroup, d.retention = str("LogGroupName"), p["RetentionInDays"].(int)
	case "AWS::Logs::MetricFilter":
		s.values[name] = name
		to := p["MetricTransformations"].([]any)[0].(map[string]any)
		d.filters = append(d.filters, filter{str("LogGroupName"), str("FilterPattern"),
			fmt.Sprint(to["MetricNamespace"], "/", to["MetricName"])})
	case "AWS::CloudWatch::Alarm":
		s.values[name] = name
		d.alarms = append(d.alarms, str("Namespace")+"/"+str("MetricName"))
	case "AWS::CloudWatch::Dashboard":
		s.values[name] = name
		d.dashboard = str("DashboardBody")
	case "AWS::Serverless::Function":
		s.values[name] = str("FunctionName")
		if p["LoggingConfig"].(map[string]any)["LogGroup"] != d.logGroup {
			s.t.Error("the function logs elsewhere")
		}
		d.runtime, d.handler = str("Runtime"), str("Handler")
		d.architectures = convert[[]string](s.t, p["Architectures"])
		d.timeout = p["Timeout"].(int)
		d.environ = convert[map[string]string](s.t, p["Environment"].(map[string]any)["Variables"])
		for _, one := range convert[[]policy](s.t, p["Policies"]) {
			d.policy.Version = one.Version
			d.policy.Statement = append(d.policy.Statement, one.Statement...)
		}
	}
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// eval returns the value of a node: its intrinsic functions applied.
func (s *stack) eval(n *yaml.Node) any {
	s.t.Helper()
	switch n.Tag {
	case "!Ref":
		return s.ref(n.Value)
	case "!GetAtt":
		return s.ref(n.Value)
	case "!Sub":
		return placeholder.ReplaceAllStringFunc(n.Value, func(m string) string { return s.ref(m[2 : len(m)-1]) })
	case "!Equals":
		return s.eval(n.Content[0]) == s.eval(n.Content[1])
	case "!Not":
		return s.eval(n.Content[0]) == false
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		s.t.Fatalf("line %d: this test does not know %s", n.Line, n.Tag)
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for pair := range slices.Chunk(n.Content, 2) {
			m[pair[0].Value] = s.eval(pair[1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = s.eval(c)
		}
		return list
	}
	var v any
	if err := n.Decode(&v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// ref returns what NAME, or NAME.Arn, stands for.
func (s *stack) ref(name string) string {
	s.t.Helper()
	v, ok := s.values[name]
	if resource, isARN := strings.CutSuffix(name, ".Arn"); isARN {
		v, ok = s.arns[resource]
	}
	if !ok {
		s.t.Fatal(fmt.Errorf("the template refers to %s, which is not there, or is made later", name))
	}
	return v
}
