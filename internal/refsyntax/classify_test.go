package refsyntax

import (
	"os"
	"strings"
	"testing"
)

// caseLines returns the lines of a file of testdata/cases.
func caseLines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/cases/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// hints is what the error of a refused text has to say, by the text of the case.
var hints = map[string][]string{
	"${ssm:/prod/key}":                   {"write ssm:///prod/key", "CloudFormation's Sub"},
	"${ssm(eu-west-1):/prod/key}":        {"write ssm:///prod/key?region=eu-west-1"},
	"aws-ssm:///prod/key":                {"write ssm:///prod/key"},
	"secrets-manager://prod/key":         {"write sm://prod/key"},
	"awssm://prod/key#k":                 {"write sm://prod/key#k"},
	"aws-secretsmanager:prod/db":         {"write sm://prod/db"},
	"ref+awsssm:///prod/key":             {"write ssm:///prod/key"},
	"ref+awssecrets://prod/db#/password": {"write sm://prod/db#password"},
	"x-crypteia-ssm:/app/pw":             {"write ssm:///app/pw"},
	"SSM:my/name":                        {"write ssm:///my/name"},
	"ssm:prod-key":                       {"write ssm://prod-key"},
	"secretsmanager:opsrelay/slack#bot":  {"write sm://opsrelay/slack#bot"},
	"kms:AQICAHhEXAMPLE":                 {"write kms://AQIC…"},
	"aws:kms:AQICAHhEXAMPLE":             {"write kms://AQIC…"},
	"smm://prod/key":                     {"write sm://prod/key or ssm:///prod/key"},
	"secretsmanager:/my/secret":          {"write sm://my/secret, or sm:///my/secret if"},
	`"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/key-AbCdEf"`: {
		"quotes", "write sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/key-AbCdEf"},
	"sm://${STAGE}/db":               {"$ at byte 5: nothing expands variables here"},
	"sm://prod/db#${FIELD}":          {"$ at byte 13"},
	"sm://prod/db?stage=${STAGE}":    {"$ at byte 19"},
	"sm://<your-secret>":             {"< at byte 5: a placeholder that nobody filled in"},
	"sm://prod/db#password # the db": {"comment", "write sm://prod/db#password"},
	"secretsmanager://a##b":          {"#a.b", "write sm://a#b"},
	"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/key-AbCdEf:signing_key::": {
		"write sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/key-AbCdEf:signing_key::"},

	"kms://prod/pg-analytics":                    {"ciphertext"},
	"kms://alias/my-signing-key":                 {"names a KMS key"},
	"kms://1234abcd-12ab-34cd-56ef-1234567890ab": {"names a KMS key"},
	"kms://arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab": {"kms://CIPHERTEXT?key=KEY"},
	"kms://http@localhost:9600/kms": {"ciphertext"},
	"ssm:/cwagent/linux/basic-2":    {"write ssm:///cwagent/linux/basic-2"},
	"kms:/data":                     {"kms://"},
	"kms:Decrypt":                   nil,
}

func TestClassify_Refused(t *testing.T) {
	t.Parallel()
	for _, line := range append(caseLines(t, "refused.tsv"), caseLines(t, "keynames.tsv")...) {
		text, _, _ := strings.Cut(line, "\t")
		want, known := hints[text]
		if !known {
			t.Errorf("%q: the test does not know what the error has to say", text)
		}
		if want == nil {
			if Classify(text) != Plain {
				t.Errorf("%q is not plain", text)
			}
			continue
		}
		checkRefused(t, text, want...)
	}
}

// checkRefused checks that text is refused with the hint, and that what it says to write is read.
func checkRefused(t *testing.T, text string, want ...string) {
	t.Helper()
	if Classify(text) != Reference {
		t.Errorf("%q is taken for a plain text", text)
	}
	_, err := Parse(text)
	if err == nil {
		t.Errorf("%q is read", text)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q: %v, want %q", text, err, w)
		}
	}
	if e := err.(*Error); e.instead != "" {
		if _, err := Parse(e.instead); err != nil {
			t.Errorf("%q: %v, and that is not read: %v", text, e, err)
		}
	}
}

func TestClassify_Plain(t *testing.T) {
	t.Parallel()
	for _, text := range caseLines(t, "plain.txt") {
		if Classify(text) != Plain {
			t.Errorf("%q: %v, want plain", text, Classify(text))
		}
	}
	for _, text := range []string{
		"", "ssm:", "ssm", "ssmx:/", "xssm:/a", "postgres://u:p@h/ssm://", "https://sm:/", "{{ resolve", "resolve:",
		"/app/db",
		"arn:aws:ssm:", "{ {resolve:",
		"ssm:latest", "ssm:1.2.3", "ssm:8080", "kms:8888/kurento", "ws://kms:8888/kurento", "ssm:GetParameter",
		"ssm:Get*",
		"ssm:GetParameter,ssm:GetParameters", "secretsmanager:GetSecretValue", "kms:*", "aws:kms", "aws:kms:dsse",
		"ssh://git@example.com/x", "ssl://broker:8883", "mms://a/b", "sms://+15551234", "ss://YWVzOnB3@h:1",
		"wasm://x", "gsm://x",
		"gcp-sm://projects/p/secrets/s", "gcpsecretmanager://projects/p/secrets/s",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
		"awskms://alias/x", "awskms:///arn:aws:kms:eu-west-1:123456789012:key/1", "azurekeyvault://x",
		"hashivault://k",
		"sm:px-4 lg:px-8", "sm:hidden", "sm:w-12", "ssm is fun: yes", `{"Action":["ssm:GetParameter","kms:Decrypt"]}`,
		"https://ssm.eu-west-1.amazonaws.com:443/x", "secretsmanager.eu-west-1.amazonaws.com:443", "user@ssm:22",
		"arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"arn:aws:ssm:eu-west-1:123456789012:document/a", "C:\\ssm\\x", "DOMAIN\\ssm", "a/ssm/b", "${{ secrets.SSM }}",
		"${SSM}", "${SSM:-x}",
		"read ssm:// in the docs", "{{ssm}}", "{{ ssm.x }}", "${KMS:-kms}", "ssm-agent:1.0", "plasma://x",
		"${SECRETS:-a/b}", "amazon/amazon-ssm-agent:3.1",
		"ssm:\n  enabled: true\n", "secretsmanager:\n  region: eu-west-1\n", "ssm:resourceTag/env", "ssn:123-45-6789",
		"smm:a/b", "secretsmanager:ResourceTag/env",
		"secretsmanager:resource/AllowRotationLambdaArn", "ssm:Overwrite", "ssm::client=debug", "ssm // the agent",
		"info,ssm=debug,kms::client=trace",
		"${STAGE}", "${Token[TOKEN.12]}", "ENC[AES256_GCM,data:CwE4O1s=,iv:2k=,aad:o=,tag:w==,type:str]",
		"!var prod/db/password", "/run/secrets/db",
		"{{ aws_secret }}", "{{ ssm_parameter }}", "${aws_region}", "secretKeyRef: {name: db, key: password}",
		"sm:640px\nmd: 768px", "{{ .Values.ssm }}",
		"(?i)^ssm://", "^(kms|ssm|sm):\\d+$", "jdbc:oracle:thin:@//h:1521/ssm",
		"Server=tcp:h,1433;Database=ssm;Password=x//y;", "if (sm) // x",
		"LOG=ssm:info,kms:debug", "mongodb://ssm:sm@h1,h2/?replicaSet=sm", "https://h/a/http://sm:80//x",
		"xmlns:sm=\"http://sitemaps.org/0.9\"",
		"base64:aGVsbG8=", "secret:abc", "secrets:abc", "secret://a/b", "ps:x", "aws:x", "aws://x", "amazon:x",
		"AWS::Region", "pssm:/a",
		"sm:w-1/2", "sm:bg-black/50", "sm:1fr/2fr", "sm:@container/main", "sm:group-hover/item:block",
		"sm:before:content-['//']", "ssm:1.2.3-alpine", "ssm:3.11-slim", "ssm:debug",
		"ssm:info,kms:debug", "ssm: true",
		"ssm:SessionDocumentAccessCheck", "secretsmanager:VersionStage", "secretsmanager:debug",
		"ssm: /app/db\nother: x\n", "kms:\n  key: alias/x\n", `\\\\ssm\\\\share`, `{"ssm":"/app/db"}`,
		"sms:///a", "ms://a/b",
		"c3NtLXRlc3Q=", "U1NNOg==", "c3Nt", "family \U0001F468\u200d\U0001F469", "\x00\x01", "zero\u200bwidth",
		"export X=$(aws ssm get-parameter --name /a)", "aws ssm get-parameter --name /a", "aws_ssm_parameter.db",
		"${aws_secretsmanager}", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/*",
	} {
		if Classify(text) != Plain {
			_, err := Parse(text)
			t.Errorf("%q: %v, want plain: %v", text, Classify(text), err)
		}
	}
}

// Forms of other tools and slips that the cases do not hold.
func TestClassify_OtherForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"${aws-ssm:/a/b}":                       "write ssm:///a/b",
		"${ssm:/a/b~true}":                      "write ssm:///a/b",
		"${ssm:/a/b, 'none'}":                   "write ssm:///a/b",
		"${ssm.eu-west-1:/a/b}":                 "write ssm:///a/b?region=eu-west-1",
		"${ssm(eu-west-1, raw):/a/b}":           "write ssm:///a/b?region=eu-west-1",
		"${secretsmanager:prod/db#password}":    "write sm://prod/db#password",
		"$(ssm:/a/b)":                           "write ssm:///a/b",
		"#{ssm:/a}":                             "write ssm:///a",
		"{{ssm:/a}}":                            "write ssm:///a",
		"<ssm:///a>":                            "write ssm:///a",
		"[sm://a]":                              "write sm://a",
		"=ssm:///a":                             "write ssm:///a",
		"aws:ssm:/a/b":                          "write ssm:///a/b",
		"aws+smp:///a/b":                        "write ssm:///a/b",
		"aws+sm:///a/b":                         "write sm://a/b",
		"aws-parameterstore:/config/app":        "write ssm:///config/app",
		"optional:aws-parameterstore:/config/a": "write ssm:///config/a",
		"awsparamstore://name?decoder=string":   "write ssm://name",
		"awssecretsmanager://prod-db":           "write sm://prod-db",
		"aws_ssm:/a/b":                          "write ssm:///a/b",
		"awssm:name":                            "write sm://name",
		"secretref+awssecrets://prod/db#/a/b":   "write sm://prod/db#/a/b",
		"parameterstore:/a":                     "write ssm:///a",
		"ssm-parameter://a":                     "write ssm://a",
		"SecretsManager://prod/db":              "write sm://prod/db",
		"secretmanager://prod/db":               "write sm://prod/db",
		"secretsmanger://prod/db":               "write sm://prod/db",
		"sssm:///a":                             "write sm://a or ssm:///a",
		"ssm;//a":                               "write ssm://a",
		"ssm//a":                                "write ssm://a",
		`ssm:\\\a`:                              "write ssm:///a",
		"ssm%3A%2F%2F%2Fa":                      "write ssm:///a",
		"ssm ://a":                              "write ssm://a",
		"ssm:////a":                             "one / between levels",
		"ssm:///a,ssm:///b":                     "two references",
		"sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf": "" +
			"write sm://arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-AbCdEf",
		"secretsmanager: prod/db":               "write sm://prod/db",
		"resolve:ssm:/a":                        "write ssm:///a",
		"ref+awskms://AQICAHhEXAMPLE":           "write kms://AQIC…",
		"kkms://AQICAHhEXAMPLE":                 "write kms://AQIC…",
		`{"password":"sm://prod/db#password"}`:  "write {{sm://prod/db#password}}",
		"https://h/?next=ssm:///a":              "write {{ssm:///a}}",
		"Bearer aws-ssm:///a":                   "write {{ssm:///a}}",
		"/ sm://0":                              "write {{sm://0}}",
		"prod/\tssm:///a":                       "write {{ssm:///a}}",
		"key=${ssm:/a};x":                       "write {{ssm:///a}}",
		"sm://$STAGE/db":                        "$ at byte 5",
		"sm://{stage}/db":                       "nothing fills in templates",
		"sm://prod/db # the db":                 "write sm://prod/db",
		"sm://prod/db;":                         "one reference",
		`sm://prod\db`:                          "levels are separated by /",
		"ssm:///app/":                           "ssm:///app/*",
		"Literal://a":                           "literal://",
		"${data.aws_ssm_parameter.db.value}":    "nothing evaluates",
		"${ aws_secretsmanager_secret.db.arn }": "nothing evaluates",
		`{{ lookup("aws_ssm", "/app/db") }}`:    "nothing evaluates",
		"{{ lookup('amazon.aws.secretsmanager_secret', 'a') }}": "nothing evaluates",
		"${ssm:${self:custom.path}}":                            "belongs to CloudFormation's Sub",
		"ssn:///app/db":                                         "write ssm:///app/db",
		"km://AQICAHhEXAMPLE":                                   "write kms://AQIC…",
		"http://sm://prod/db":                                   "write {{sm://prod/db}}",
		`ssm:\\app\db`:                                          "not followed by ://",
		`["sm://prod/db"]`:                                      "signs stand around",
		"sm:://prod/db":                                         "sm://",
		"ref+awssecrets://db#/user+":                            "write sm://db#user",
		"postgres://app:ref+awssecrets://db#/pw+@h/x":           "write {{sm://db#pw}}",
		"«kms://x":                                              "kms://AQIC…",
		"${account1:ssm:/a/b}":                                  "write ssm:///a/b",
		"${aws(eu-west-1):ssm:/a}":                              "write ssm:///a",
		"${env:ssm:///a}":                                       "write ssm:///a",
		"x ${account1:ssm:/a/b}":                                "write {{ssm:///a/b}}",
		`x://a:{{"sm://prod/db#password"}}@h`:                   "write {{sm://prod/db#password}} in its place",
		"ref+awsssm://a/b?mode=x and so on":                     "write {{ssm:///a/b}}",
		"SM://prod/db # the db":                                 "write sm://prod/db",
		"sm://prod/db #password": "" +
			"write sm://prod/db, or sm://prod/db#password if that is the field",
		"sm://prod/db#password&ttl=5m": "an option stands behind the field",
		`sm://prod/db#"password"`:      "quotes stand around the field",
		"sm://prod/db# password":       "spaces or quotes stand around the field",
		"ssm=x ssm::///a":              "write {{ssm:///a}}",
		"ssm::///a":                    "not followed by ://: write ssm:///a",
		"ssm-secure:///a": "" +
			"another tool, or has an unknown scheme: write ssm:///a",
		"secretsmanager:prod-db":                      "write sm://prod-db",
		"sm:prod/db":                                  "write sm://prod/db",
		"ssms:///a":                                   "misspelled",
		`ssm:"/app/db"`:                               "write ssm:///app/db",
		`\"ssm:///a\"`:                                "quotes stand around the reference: write ssm:///a",
		`sm:\/\/prod\/db`:                             "write sm://prod/db",
		`{"pw":"sm:\/\/prod\/db#password"}`:           "write {{sm://prod/db#password}}",
		`"{\"pw\":\"sm://prod/db#pw\"}"`:              "write {{sm://prod/db#pw}}",
		"ssm:%2F%2F/app/db":                           "write ssm:///app/db",
		"jdbc:x://h/?password=ssm:///app/pw&ssl=true": "write {{ssm:///app/pw}}",
		"ssm\t:///a":                                  "write ssm:///a",
		"ssm：／／／a":                                    "write ssm:///a",
		"\ufeffssm:///a": "" +
			"invisible characters stand in the text: write ssm:///a",
		"\x00sm://prod/db":                         "invisible characters",
		"s\u200bsm:///a":                           "write ssm:///a",
		"sm\u200d://prod/db":                       "write sm://prod/db",
		"sm://prod/d\u200bb":                       "nobody sees",
		"ssm:///ключ":                              `'к' at byte 7`,
		"c206Ly9wcm9kL2RiI3Bhc3N3b3Jk":             "base64 of a reference: write sm://prod/db#password",
		"sm://prod/db:password":                    "a field stands after #",
		"ssm:///app/db /* the db */":               "no space",
		"sm://prod/db#password?ttl=5m":             "an option stands behind the field",
		"optional:aws-parameterstore:/config/app/": "write ssm:///config/app/*",
		"${ssm:/app/${self:provider.stage}/db}":    "with what ${…} stands for written out",
		"data.aws_ssm_parameter.db.value":          "nothing evaluates",
		"x:${data.aws_secretsmanager_secret_version.a.secret}@": "" +
			"nothing evaluates the expression at run time: write ssm:",
		"$(aws ssm get-parameter --name /a)": "nothing evaluates",
		secretARN + "#password":              "write sm://" + secretARN + "#password",
		secretARN + ":password":              "write sm://" + secretARN + ":password::",
		secretARN + " # the db":              "write sm://" + secretARN,
		"'{{sm://prod/db#password}}'": "" +
			"quotes stand around the reference: write sm://prod/db#password",
		"{{sm://prod/db#password}}\n":                      "write sm://prod/db#password",
		`"AQICAHh4` + strings.Repeat("h4eHh4eH", 20) + `"`: "quotes stand around the ciphertext",
		"x://a:{{{sm://prod/db#password}}}@h":              "third brace",
		"x://a:${{sm://prod/db#password}}@h":               "a $ or a third brace stands at the braces",
	} {
		checkRefused(t, text, want)
	}
}

func TestClassify_Undeclared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Kind{
		ssmARN: Undeclared, ssmARN + ":3": Undeclared, secretARN: Undeclared, secretARN + ":a::": Reference,
		`"` + ssmARN + `"`: Reference,
		ssmARN + "?ttl=5m": Reference,
		"(" + ssmARN + ")": Plain,
		` "AQICAHh4` + strings.Repeat("h4eHh4eH", 20) + `"`:  Reference,
		" AQICAHh4 " + strings.Repeat("h4eHh4eH", 20) + "\n": Undeclared,
		"AQICAHh4" + strings.Repeat("h4eHh4eH", 20):          Undeclared,
		"AQICAHh4" + strings.Repeat("h4eHh4eH", 5):           Plain,
		ssmARN + "," + ssmARN:                                Plain, keyARN: Plain,
	} {
		if got := Classify(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
