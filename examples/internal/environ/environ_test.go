package environ

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/lambdasecrets/secrets"
)

// shown writes environments in one line: where(NAME=text …) ….
func shown(all []Environment) string {
	var out []string
	for _, e := range all {
		var vars []string
		for _, v := range e.Vars {
			vars = append(vars, v.Name+"="+v.Text)
		}
		out = append(out, e.Where+"("+strings.Join(vars, " ")+")")
	}
	return strings.Join(out, " ")
}

func utf16Text(text string, bom bool, bigEndian bool) string {
	if bom {
		text = "\ufeff" + text
	}
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"lines", "A=1\r\n# comment\n\nexport B=\"x y\"\nC='='\nD=a=b\n", "(A=1 B=x y C== D=a=b)"},
		{"comments", "\ufeffA=sm://a#b # the field\r\nexport\tB='sm://b#c'\t# quoted\nC=\"a # b\"\nD=\"open\n" +
			"E=#\nexporter=1\n",
			`(A=sm://a#b B=sm://b#c C=a # b D="open E=# exporter=1)`},
		{"shells", "declare -x A=\"1\"\nset B=2\n$env:C=\"3\"\n  D = 4\n", "(A=1 B=2 C=3 D=4)"},
		{"several lines", "A=\"x\n# y=1\n z\" # note\nB='u\r\nv'\r\nC=3\n", "(A=x\n# y=1\n z B=u\nv C=3)"},
		{"UTF-16", utf16Text("A=sm://a\r\nB=é\r\n", true, false), "(A=sm://a B=é)"},
		{"UTF-16, big endian", utf16Text("A=sm://a\n", true, true), "(A=sm://a)"},
		{"UTF-16, no mark", utf16Text(`{"A":"sm://a"}`, false, false), "(A=sm://a)"},
		{"sam local", `{"Orders": {"A": "1", "N": 2}, "Parameters": {"A": "2"}}`, "Orders(A=1) Parameters(A=2)"},
		{"terraform", `{"a": {"sensitive": true, "type": "string", "value": "1"}, "env": {"sensitive": false, ` +
			`"type": ["map", "string"], "value": {"B": "2"}}, "n": {"sensitive": false, "type": "number", "value": 3}}`,
			"env(B=2) (a=1)"},
		{"terraform, lists", `{"functions": {"sensitive": true, "type": ["list", ["object", {}]], "value": [{"name": ` +
			`"f", "env": {"A": "1"}}, ["x", {"B": "2"}]]}}`,
			"env(A=1) functions(name=f) (functions[0][0]=x B=2)"},
		{"terraform, called environment",
			`{"environment": {"sensitive": false, "type": ["map", "string"], "value": {"B": "2"}}}`, "(B=2)"},
		{"terraform plan",
			`{"planned_values":{"root_module":{"resources":[{"type":"aws_lambda_function",` +
				`"values":{"function_name":"f","environment":[{"variables":{"A":"1"}}]}}]}}}`, "f(A=1)"},
		{"terraform plan, unknown",
			`{"resource_changes":[{"change":{"after":{"function_name":"f","environment":[{"variables":{"A":"1"}}]},` +
				`"after_unknown":{"environment":[{"variables":{"B":true}}]}}}]}`,
			"f(A=1) change(B=REF_B)"},
		{"Lambda", `{"Environment": {"Variables": {"A": "1"}}, "FunctionName": "f"}`, "f(A=1)"},
		{"Lambda, several",
			`{"Functions":[{"FunctionName":"f","Environment":{"Variables":{"A":"1"}}},{"FunctionName":"g"}]}`,
			"f(A=1)"},
		{"SAM",
			`{"Globals":{"Function":{"Environment":{"Variables":{"A":"1"}}}},` +
				`"Resources":{"F":{"Type":"AWS::Serverless::Function",` +
				`"Properties":{"Environment":{"Variables":{"B":"2"}}}}}}`,
			"Function(A=1) F(B=2)"},
		{"task definition",
			`{"containerDefinitions":[{"name":"web","environment":[{"name":"A","value":"1"}],"secrets":[{"name":"S",` +
				`"valueFrom":"arn:x"}]}]}`,
			"containerDefinitions(A=1 S=)"},
		{"ECS in a template",
			`{"Resources":{"T":{"Properties":{"ContainerDefinitions":[{"Environment":[{"Name":"A",` +
				`"Value":{"Fn::Sub":"sm://${Db}"}}]}]}}}}`,
			"ContainerDefinitions(A=sm://REF_Db)"},
		{"Kubernetes", `{"containers":[{"env":[{"name":"A","value":"1"},{"name":"B","valueFrom":{"x":{}}}]}]}`,
			"containers(A=1)"},
		{"Docker", `[{"Config":{"Env":["A=1","B=x=y"]}}]`, "Config(A=1 B=x=y)"},
		{"compose", `{"services":{"f":{"environment":["A=1","B=x=y"]},"g":{"environment":{"C":"3"}}}}`,
			"f(A=1 B=x=y) g(C=3)"},
		{"expression in a flat object", `{"R":{"Ref":"X"},"S":"1"}`, "(R=REF_X S=1)"},
		{"a variable called environment", `{"environment":"prod","A":"1"}`, "(A=1 environment=prod)"},
	} {
		got, err := Read([]byte(tc.in))
		if err != nil || shown(got) != tc.want {
			t.Errorf("%s: %s, %v; want %s", tc.name, shown(got), err, tc.want)
		}
	}
	for name, in := range map[string]string{"empty": " \n", "no JSON": "{", "no line": "hunter2 secret\n",
		"no name": "=x"} {
		if got, err := Read([]byte(in)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, in := range []string{"---\nA: 1\n", "Resources:\n  F:\n", "services:\n  f:\n    environment:\n      - A=1\n",
		"\"A\": x\n", "AWSTemplateFormatVersion: '2010-09-09'\n"} {
		if _, err := Read([]byte(in)); err == nil || !strings.Contains(err.Error(), "YAML") {
			t.Errorf("%q: %v, want an error that says YAML", in, err)
		}
	}
}

// Bare on a terminal it says what it waits for.
func TestOpen_Terminal(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{os.DevNull: "Ctrl-D", "environ_test.go": ""} { // the one is a device
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var notes strings.Builder
		Open(nil, in, &notes)
		if got := notes.String(); (got != "") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	const resources = `"Parameters":{"Stage":{"Type":"String","Default":"prod"},"Name":{"Type":"String"},
	"P":{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/a"}},
		"Resources":{"Db":{"Type":"AWS::SecretsManager::Secret"},"Named":{"Type":"AWS::SecretsManager::Secret",
		"Properties":{"Name":"prod/db"}},
		"Par":{"Type":"AWS::SSM::Parameter","Properties":{"Name":"/app/x"}},"Par2":{"Type":"AWS::SSM::Parameter"},
		"Table":{"Type":"AWS::DynamoDB::Table"},"Rds":{"Type":"AWS::RDS::DBInstance"},
		"F":{"Properties":{"Environment":{"Variables":{"V":%s}}}}}`
	arn := "arn:aws:secretsmanager:" + RegionStandIn + ":" + AccountStandIn + ":secret:"
	for _, tc := range []struct {
		expression, want string
		holds            secrets.Scheme
	}{
		{`"sm://a"`, "sm://a", ""},
		{`{"Fn::Join":["",["sm://",{"Ref":"Db"},"#password"]]}`, "sm://" + arn + "REF_Db#password", ""},
		{`{"Fn::Join":["/",["ssm://",{"Ref":"Stage"},"db"]]}`, "ssm:///prod/db", ""},
		{`{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},":secretsmanager:",{"Ref":"AWS::Region"},` +
			`":",{"Ref":"AWS::AccountId"},":secret:prod/db"]]}`, arn + "prod/db", ""},
		{`{"Fn::Sub":"ssm:///app/${Stage}/${Name}"}`, "ssm:///app/prod/REF_Name", ""},
		{`{"Fn::Sub":"ssm://${Name}/db"}`, "ssm:///REF_Name/db", ""},
		{`{"Fn::Sub":"ssm://${Par}"}`, "ssm:///app/x", ""},
		{`{"Fn::Sub":"ssm://${Par2}"}`, "ssm:///REF_Par2", ""},
		{`{"Fn::Sub":["sm://${A}#${!x}",{"A":{"Ref":"Named"}}]}`, "sm://" + arn + "prod/db#${x}", ""},
		{`{"Fn::Sub":"sm://${Rds.MasterUserSecret.SecretArn}"}`,
			"sm://" + arn + "REF_Rds_MasterUserSecret_SecretArn", ""},
		{`{"Fn::If":["C","sm://a",{"Fn::Sub":"sm://${Name}"}]}`, "sm://a|sm://REF_Name", ""},
		{`{"Fn::Join":["",["sm://",{"Fn::If":["C","a","b"]}]]}`, "sm://a|sm://b", ""},
		{`{"Fn::ImportValue":"x"}`, "REF_Fn_ImportValue", ""},
		{`{"Ref":"Db"}`, arn + "REF_Db", secrets.SecretsManager},
		{`{"Fn::Sub":"${Db}"}`, arn + "REF_Db", secrets.SecretsManager},
		{`{"Ref":"Par"}`, "/app/x", secrets.SSM},
		{`{"Fn::GetAtt":["Table","Arn"]}`, "REF_Table_Arn", secrets.Literal},
		{`{"Ref":"Table"}`, "REF_Table", secrets.Literal},
		{`{"Ref":"P"}`, "REF_P", ""},
		{`{"Fn::Join":["",5]}`, "REF_Fn_Join", ""},
		{`7`, "", ""},
	} {
		all, err := Read([]byte("{" + fmt.Sprintf(resources, tc.expression) + "}"))
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, e := range all {
			for _, v := range e.Vars {
				texts = append(texts, v.Text)
				if v.Name != "V" || v.Holds != tc.holds {
					t.Errorf("%s: variable %+v, want it to hold %q", tc.expression, v, tc.holds)
				}
			}
		}
		if got := strings.Join(texts, "|"); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.expression, got, tc.want)
		}
	}
}

// What may be a secret and is no reference is named with what to write; what is plain is not.
func TestReferences_LeftOut(t *testing.T) {
	t.Parallel()
	ciphertext := base64.StdEncoding.EncodeToString(append([]byte{1, 2, 2, 0, 0x78}, make([]byte, 120)...))
	for _, tc := range []struct{ text, next string }{
		{"arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf", "-vars sm:V"},
		{"arn:aws:ssm:eu-west-1:123456789012:parameter/a", "-vars ssm:V"},
		{"/aws/reference/secretsmanager/db", "-vars ssm:V"},
		{ciphertext, "-vars kms:V"},
		{"${ssm:/app/y}", "ssm:///app/y"},
		{"${aws:ssm(eu-west-1):/app/y~true}", "ssm:///app/y"},
		{"aws-ssm:///app/x", "ssm:///app/x"},
		{"ref+awsssm://app/x", "ssm:///app/x"},
		{"ref+awssecrets://prod/db", "sm://prod/db"},
		{"{{resolve:ssm:/app/x}}", "ssm:///app/x"},
		{"SSM:///app/x", "ssm:///app/x"},
		{"ssm://app/x", "ssm:///app/x"},
		{"hello", ""}, {"https://ssm.example/", ""}, {"/var/task", ""}, {"arn:aws:s3:::bucket", ""}, {"", ""},
		{"smart:/x", ""},
		{"postgres://u@h/ssm:x", ""},
	} {
		refs, left := Environment{Vars: []Variable{{Name: "V", Text: tc.text}}}.References(nil)
		switch {
		case tc.next == "" && (len(left) > 0 || len(refs) > 0):
			t.Errorf("%q: %v, %v; it is plain", tc.text, refs, left)
		case tc.next != "" && (len(left) != 1 || left[0].Variable != "V" || !strings.Contains(left[0].Next, tc.next)):
			t.Errorf("%q: %+v, want %s", tc.text, left, tc.next)
		}
		if _, left = (Environment{Vars: []Variable{{Name: "V",
			Text: tc.text}}}).References(map[string]secrets.Scheme{"V": secrets.Literal}); left != nil {
			t.Errorf("%q, declared literal: %v", tc.text, left)
		}
	}
}
