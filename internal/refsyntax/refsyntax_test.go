package refsyntax

import (
	"encoding/base64"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

const (
	ssmARN    = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/db"
	secretARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"
	keyARN    = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	b64       = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB" // of blob
	versionID = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
)

var blob = strings.Repeat("\x01", 33)

func TestParse_Forms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       Ref
		canonical  string // if it is not text
	}{
		{"parameter", "ssm:///app/db/password", Ref{Scheme: SSM, ID: "/app/db/password"}, ""},
		{"parameter without path", "ssm://name", Ref{Scheme: SSM, ID: "name"}, ""},
		{"parameter version", "ssm:///app/db:3", Ref{Scheme: SSM, ID: "/app/db", Version: "3"}, ""},
		{"parameter label", "ssm://name:blue.1", Ref{Scheme: SSM, ID: "name", Stage: "blue.1"}, ""},
		{"parameter ARN", "ssm://" + ssmARN, Ref{Scheme: SSM, ID: ssmARN, Region: "eu-west-1"}, ""},
		{"parameter ARN and its own region", "ssm://" + ssmARN + "?region=eu-west-1",
			Ref{Scheme: SSM, ID: ssmARN, Region: "eu-west-1"}, "ssm://" + ssmARN},
		{"parameter ARN version", "ssm://" + ssmARN + ":12",
			Ref{Scheme: SSM, ID: ssmARN, Region: "eu-west-1", Version: "12"}, ""},
		{"public parameter", "ssm:///aws/service/x", Ref{Scheme: SSM, ID: "/aws/service/x"}, ""},
		{"public parameter ARN", "ssm://arn:aws:ssm:us-east-2::parameter/aws/service/x",
			Ref{Scheme: SSM, ID: "arn:aws:ssm:us-east-2::parameter/aws/service/x", Region: "us-east-2"}, ""},
		{"tree", "ssm:///app/prod/*?region=eu-west-1#db/password",
			Ref{Scheme: SSM, ID: "/app/prod/*", Region: "eu-west-1", Part: Part{Field: "db/password"}}, ""},
		{"secret through ssm", "ssm:///aws/reference/secretsmanager/prod/db+1#password",
			Ref{Scheme: SSM, ID: "/aws/reference/secretsmanager/prod/db+1", Part: Part{Field: "password"}}, ""},
		{"secret through ssm, stage", "ssm:///aws/reference/secretsmanager/db:AWSPREVIOUS",
			Ref{Scheme: SSM, ID: "/aws/reference/secretsmanager/db", Stage: "AWSPREVIOUS"}, ""},
		{"secret through ssm, digits are a stage", "ssm:///aws/reference/secretsmanager/db:3",
			Ref{Scheme: SSM, ID: "/aws/reference/secretsmanager/db", Stage: "3"}, ""},
		{"secret through ssm, version", "ssm:///aws/reference/secretsmanager/db:" + versionID,
			Ref{Scheme: SSM, ID: "/aws/reference/secretsmanager/db", Version: versionID}, ""},

		{"secret", "secretsmanager://prod/db", Ref{Scheme: SecretsManager, ID: "prod/db"}, "sm://prod/db"},
		{"secret, short scheme", "sm://prod/db", Ref{Scheme: SecretsManager, ID: "prod/db"}, ""},
		{"secret name with a first slash", "sm:///prod/db", Ref{Scheme: SecretsManager, ID: "/prod/db"}, ""},
		{"secret name with punctuation", "sm://a_+=.@!-", Ref{Scheme: SecretsManager, ID: "a_+=.@!-"}, "sm://a_+=.@!-"},
		{"secret stage and version", "sm://db?stage=AWSPREVIOUS&version=" + versionID,
			Ref{Scheme: SecretsManager, ID: "db", Stage: "AWSPREVIOUS", Version: versionID}, ""},
		{"secret ARN", "sm://" + secretARN, Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1"}, ""},
		{"secret ARN, all of the tail", "sm://" + secretARN + ":user:AWSPENDING:" + versionID,
			Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1", Part: Part{Field: "user"},
				Stage: "AWSPENDING", Version: versionID},
			"sm://" + secretARN + "?stage=AWSPENDING&version=" + versionID + "#user"},
		{"secret ARN, empty tail", "sm://" + secretARN + ":::",
			Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1"}, "sm://" + secretARN},
		{"secret ARN, key in tail, stage as option", "sm://" + secretARN + ":user::?stage=x",
			Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1", Part: Part{Field: "user"}, Stage: "x"},
			"sm://" + secretARN + "?stage=x#user"},
		{"secret ARN, key with a first slash", "sm://" + secretARN + ":/a~b::",
			Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1", Part: Part{Field: "/~1a~0b"}},
			"sm://" + secretARN + "#/~1a~0b"},
		{"secret in China", "sm://arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a",
			Ref{Scheme: SecretsManager, ID: "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a",
				Region: "cn-north-1"}, ""},

		{"ciphertext", "kms://" + b64 + "+/8=", Ref{Scheme: KMS, ID: blob + "\xfb\xff"}, ""},
		{"ciphertext, URL-safe and unpadded", "kms://" + b64 + "-_8", Ref{Scheme: KMS, ID: blob + "\xfb\xff"},
			"kms://" + b64 + "+/8="},
		{"ciphertext, wrapped", "kms://" + b64 + "+/\r\n 8=\n", Ref{Scheme: KMS, ID: blob + "\xfb\xff"},
			"kms://" + b64 + "+/8="},
		{"ciphertext, context", "kms://" + b64 + "?context.b=1&context.App%20%C3%A9=a+b%26c&region=eu-west-1",
			Ref{Scheme: KMS, ID: blob, Region: "eu-west-1", Context: "context.App%20%C3%A9=a%2Bb%26c&context.b=1"},
			"kms://" + b64 + "?region=eu-west-1&context.App%20%C3%A9=a%2Bb%26c&context.b=1"},
		{"ciphertext, context none", "kms://" + b64 + "?context=none",
			Ref{Scheme: KMS, ID: blob, Context: ContextNone}, ""},
		{"ciphertext, context of a parameter", "kms://" + b64 + "?context.PARAMETER_ARN=" + ssmARN,
			Ref{Scheme: KMS, ID: blob, Context: "context.PARAMETER_ARN=" + ssmARN}, ""},
		{"ciphertext, key ARN", "kms://" + b64 + "?key=" + keyARN,
			Ref{Scheme: KMS, ID: blob, Key: keyARN, Region: "eu-central-1"}, ""},
		{"ciphertext, key ARN and its region", "kms://" + b64 + "?region=eu-central-1&key=" + keyARN,
			Ref{Scheme: KMS, ID: blob, Key: keyARN, Region: "eu-central-1"}, "kms://" + b64 + "?key=" + keyARN},
		{"ciphertext, key alias", "kms://" + b64 + "?key=alias/app&region=eu-west-1",
			Ref{Scheme: KMS, ID: blob, Key: "alias/app", Region: "eu-west-1"},
			"kms://" + b64 + "?region=eu-west-1&key=alias/app"},
		{"ciphertext, multi-Region key", "kms://" + b64 + "?key=mrk-0123456789abcdef0123456789abcdef",
			Ref{Scheme: KMS, ID: blob, Key: "mrk-0123456789abcdef0123456789abcdef"}, ""},

		{"options", "ssm:///a?optional=true&stale=1h&ttl=300s&region=us-gov-west-1",
			Ref{Scheme: SSM, ID: "/a", Region: "us-gov-west-1", HasTTL: true, TTL: 5 * time.Minute, HasStale: true,
				Stale: time.Hour, Optional: true},
			"ssm:///a?region=us-gov-west-1&ttl=5m0s&stale=1h0m0s&optional"},
		{"ttl of zero is stated", "ssm:///a?ttl=0s", Ref{Scheme: SSM, ID: "/a", HasTTL: true}, ""},
		{"percent-decoded option", "ssm:///a?r%65gion=eu%2Dwest-1", Ref{Scheme: SSM, ID: "/a", Region: "eu-west-1"},
			"ssm:///a?region=eu-west-1"},
		{"field called optional", "ssm:///a#optional",
			Ref{Scheme: SSM, ID: "/a", Part: Part{Field: "optional"}}, ""},
		{"field is raw", "ssm:///a#x%20?y=z#z",
			Ref{Scheme: SSM, ID: "/a", Part: Part{Field: "x%20?y=z#z"}}, ""},

		{"literal", "literal://ssm:///a?b#c", Ref{Scheme: Literal, ID: "ssm:///a?b#c"}, ""},
		{"literal is verbatim", "literal:// {{resolve:ssm:a}}\n\xff",
			Ref{Scheme: Literal, ID: " {{resolve:ssm:a}}\n\xff"}, ""},
		{"empty literal", "literal://", Ref{Scheme: Literal}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.text)
			if err != nil || got != tt.want {
				t.Fatalf("Parse(%q)\n got %+v, %v\nwant %+v", tt.text, got, err, tt.want)
			}
			canonical := tt.text
			if tt.canonical != "" {
				canonical = tt.canonical
			}
			if got.Text() != canonical {
				t.Errorf("Text = %q, want %q", got.Text(), canonical)
			}
			if again, err := Parse(got.Text()); again != got || err != nil {
				t.Errorf("Parse(Text()) = %+v, %v", again, err)
			}
			if !Begins(tt.text) {
				t.Error("Begins = false")
			}
		})
	}
}

func TestParse_Errors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 17<<10)
	tests := []struct{ name, text, want string }{
		{"plain text", "hunter2", "does not begin with a scheme"},
		{"empty", "", "does not begin with a scheme"},
		{"too long", "ssm:///" + long, "longer than 16 KiB"},
		{"canonical text too long", "sm://a?ttl=1m#" + strings.Repeat("a", 16<<10-len("sm://a?ttl=1m#")),
			"longer than 16 KiB"},
		{"upper case", "SSM:///app/db", "write ssm:///app/db"},
		{"upper case and ciphertext", "KMS://AQICAHmarker", "not in lower case: write kms://AQIC…"},
		{"one slash", "ssm:/app/db", "write ssm:///app/db"},
		{"one slash, secret", "sm:/prod/db#f", "write sm://prod/db#f"},
		{"quotes", `"ssm:///app/db"`, "write ssm:///app/db"},
		{"typographic quotes", "“sm://db”", "write sm://db"},
		{"space before", " ssm:///app/db", "write ssm:///app/db"},
		{"space after", "ssm:///app/db ", "white space stands after"},
		{"newline after an option", "kms://" + b64 + "?context.a=b\n", "white space stands after"},
		{"bare parameter ARN", ssmARN, "write ssm://" + ssmARN},
		{"bare secret ARN", secretARN + ":user::", "write sm://" + secretARN + ":user::"},
		{"bare key ARN", keyARN, "kms://CIPHERTEXT?key=ARN"},
		{"resolve ssm", "{{resolve:ssm:/app/db:3}}", "write ssm:///app/db:3"},
		{"resolve inside", "postgres://u:{{ resolve:ssm-secure:name}}@h", "write {{ssm://name}} in its place"},
		{"resolve secret", "{{resolve:secretsmanager:prod/db:SecretString:user:AWSPREVIOUS}}",
			"write sm://prod/db?stage=AWSPREVIOUS#user"},
		{"resolve secret without key", "{{resolve:secretsmanager:prod/db}}", "write sm://prod/db"},
		{"resolve secret ARN", "{{resolve:secretsmanager:" + secretARN + ":SecretString:user::" + versionID + "}}",
			"write sm://" + secretARN + "?version=" + versionID + "#user"},
		{"resolve unfinished", "{{resolve:ssm:/app", "write ssm:///name:version"},
		{"resolve unknown", "{{resolve:vault:x}}", "write ssm:///name:version"},
		{"resolve in a field", "ssm:///a#{{resolve:ssm:b}}", "CloudFormation"},

		{"no first slash", "ssm://app/db?ttl=1m", "write ssm:///app/db?ttl=1m"},
		{"empty name", "ssm://", "name is empty"},
		{"character", "ssm:///app/d b", "' ' at byte 12"},
		{"space before a name", "ssm:// /app", "' ' at byte 6"},
		{"percent in a name", "ssm:///app%2Fdb", "'%' at byte 10: names are not percent-encoded"},
		{"empty level", "ssm:///app//db", "empty level"},
		{"slash at the end", "ssm:///app/", "/app/*"},
		{"16 levels", "ssm://" + strings.Repeat("/a", 16), "15 levels"},
		{"name too long", "ssm:///" + strings.Repeat("a", 1011), "1011 bytes"},
		{"empty selector", "ssm:///a:", "selector is not"},
		{"label with a digit first", "ssm:///a:3x", "selector is not"},
		{"version zero", "ssm:///a:0", "selector is not"},
		{"two selectors", "ssm:///a:3:4", "selector is not"},
		{"version of 20 digits", "ssm:///a:12345678901234567890", "selector is not"},
		{"version zero of a tree", "ssm:///a/*:0", "tree of parameters takes no version"},
		{"role with a Region", "sm://a?role=arn:aws:iam:eu-west-1:123456789012:role/x", "not the ARN of a role"},
		{"role of no account", "sm://a?role=arn:aws:iam::1234:role/x", "not the ARN of a role"},
		{"role of another service", "sm://a?role=arn:aws:sts::123456789012:role/x", "not the ARN of a role"},
		{"version as an option", "ssm:///a?version=3", "write the selector after the name"},
		{"stage as an option", "ssm:///a?stage=x", "write the selector after the name"},
		{"tree with a version", "ssm:///a/*:3", "takes no version"},
		{"everything", "ssm:///*", "last level of a tree"},
		{"star in the middle", "ssm:///a/*/b", "last level of a tree"},
		{"star in a level", "ssm:///a/b*", "last level of a tree"},
		{"tree without first slash", "ssm://a/*", "write ssm:///a/*"},
		{"tree of an ARN", "ssm://" + ssmARN + "/*", "has no ARN"},
		{"tree of secrets", "ssm:///aws/reference/secretsmanager/*", "secret's name"},
		{"reference by ARN", "ssm:///aws/reference/secretsmanager/" + secretARN, "by its name"},
		{"reference to nothing", "ssm:///aws/reference/secretsmanager/", "name is empty"},

		{"secret name", "sm://prod db", "' ' at byte 9"},
		{"secret name with a colon", "sm://prod:db", "':' at byte 9"},
		{"secret name empty", "sm://?region=eu-west-1", "name is empty"},
		{"secret name too long", "sm://" + strings.Repeat("a", 513), "512 bytes"},
		{"tail unfinished", "sm://" + secretARN + ":user", "after it nothing or :json-key:stage:version-id"},
		{"stage in the version's place", "sm://" + secretARN + ":user::AWSPREVIOUS",
			"the version in the ARN's tail: not a version id"},
		{"tail too long", "sm://" + secretARN + "::::", "not of a secret"},
		{"stage twice", "sm://" + secretARN + "::a:?stage=a", "for the second time"},
		{"version twice", "sm://" + secretARN + ":::" + versionID + "?version=" + versionID, "for the second time"},
		{"field twice", "sm://" + secretARN + ":user::#user", "state it once"},
		{"version id too short", "sm://db?version=3", "32 to 64"},

		{"ARN of another service", "ssm://" + secretARN, "another service"},
		{"ARN cut short", "sm://arn:aws:secretsmanager:eu-west-1", "cut short"},
		{"ARN without region", "ssm://arn:aws:ssm::123456789012:parameter/a", "no Region"},
		{"ARN with a host as region", "ssm://arn:aws:ssm:x@evil.example:123456789012:parameter/a", "no Region"},
		{"ARN of a wrong partition", "ssm://arn:aws:ssm:cn-north-1:123456789012:parameter/a", "partition"},
		{"ARN of an unknown partition", "ssm://arn:aws-x:ssm:eu-west-1:123456789012:parameter/a", "partition"},
		{"ARN with a short account", "ssm://arn:aws:ssm:eu-west-1:12345:parameter/a", "12 digits"},
		{"ARN without account", "ssm://arn:aws:ssm:eu-west-1::parameter/app/db", "not of a parameter"},
		{"secret ARN without account", "sm://arn:aws:secretsmanager:eu-west-1::secret:a", "not of a secret"},
		{"ARN of a document", "ssm://arn:aws:ssm:eu-west-1:123456789012:document/a", "not of a parameter"},
		{"ARN and another region", "ssm://" + ssmARN + "?region=eu-west-2", "another Region"},

		{"no base64", "kms://hunter2!", "not base64: byte 7 of it"},
		{"quotes around the ciphertext", `kms://"AQ=="`, "not base64: byte 0 of it"},
		{"ciphertext cut off", "kms://AQICA", "not base64"},
		{"wrong padding", "kms://AQ=", "not base64"},
		{"padding in the middle", "kms://AQ==AQ==", "not base64"},
		{"bits left over", "kms://AR==", "not base64"},
		{"no ciphertext", "kms://", "0 bytes"},
		{"too much ciphertext", "kms://" + base64.StdEncoding.EncodeToString(make([]byte, 6145)), "6145 bytes"},
		{"foreign option", "kms://" + b64 + "?stage=x", "is not for kms"},
		{"key of another service", "kms://" + b64 + "?key=" + ssmARN, "another service"},
		{"key", "kms://" + b64 + "?key=app", "not a KMS key"},
		{"key ARN and another region", "kms://" + b64 + "?key=" + keyARN + "&region=eu-west-1", "another Region"},
		{"region and another key ARN", "kms://" + b64 + "?region=eu-west-1&key=" + keyARN, "another Region"},
		{"context", "kms://" + b64 + "?context=x", "neither none nor console"},
		{"context twice", "kms://" + b64 + "?context=none&context=none", "for the second time"},
		{"context none and pair", "kms://" + b64 + "?context=none&context.a=b", "contradicts"},
		{"pair and context none", "kms://" + b64 + "?context.a=b&context=none", "contradicts"},
		{"pair twice", "kms://" + b64 + "?context.a=b&context.%61=b", "for the second time"},
		{"pair without name", "kms://" + b64 + "?context.=b", "empty name"},
		{"pair without value", "kms://" + b64 + "?context.a=", "has no value"},
		{"pair with a control character", "kms://" + b64 + "?context.a=%0A", "control character"},
		{"pair with invalid UTF-8", "kms://" + b64 + "?context.a=%FF", "invalid UTF-8"},
		{"key on a parameter", "ssm:///a?key=alias/a", "is not for ssm"},

		{"unknown option", "sm://prod/db?stag=x", `option "stag" at byte 13 is unknown`},
		{"second option unknown", "sm://prod/db?ttl=1m&stag=x", `option "stag" at byte 20 is unknown`},
		{"40 bytes of an unknown option", "sm://a?" + strings.Repeat("b", 40),
			`option "` + strings.Repeat("b", 40) + `" at byte 7`},
		{"long unknown option, perhaps a ciphertext", "kms://" + b64 + "?" + strings.Repeat("AQICAHg", 30),
			"the option at byte 51 is unknown"},
		{"field as an option", "sm://a?field=b", "after #"},
		{"duplicate option", "sm://a?ttl=1m&ttl=1m", "for the second time"},
		{"no options", "sm://a?", "has no name"},
		{"empty option", "sm://a?ttl=1m&", "has no name"},
		{"option without value", "sm://a?ttl", "has no value"},
		{"optional without value", "sm://a?optional=", "has no value"},
		{"optional false", "sm://a?optional=false", "neither empty nor true"},
		{"bad escape", "sm://a?region=%zz", "bad percent escape"},
		{"bare number", "sm://a?ttl=300", "300s"},
		{"negative", "sm://a?stale=-1s", "negative"},
		{"region", "sm://a?region=x@attacker.example:443/", "not the name of a Region"},
		{"region empty", "sm://a?region=", "has no value"},
		{"empty field", "sm://a#", "field is empty"},
		{"byte order mark after a field", "sm://a#b\ufeff", "white space stands after"},
		{"pointer with a bad escape", "sm://a#/b~2", "neither ~0 nor ~1"},
		{"pointer that ends in a tilde", "sm://a#/b~", "neither ~0 nor ~1"},
		{"control character in a field", "sm://a#b\x01c", "control character"},
		{"invalid UTF-8 in a field", "sm://a#\xff", "invalid UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := Parse(tt.text)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Parse(%.100q) = %v, want *Error with %q", tt.text, err, tt.want)
			}
			if e.Hint == "" {
				t.Errorf("%v: nothing says how to write it", err)
			}
			if r != (Ref{}) {
				t.Errorf("a Ref beside the error: %+v", r)
			}
		})
	}
}

func TestBare_Forms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, scheme, text string
		want               Ref
		err                string
	}{
		{"ciphertext", KMS, b64 + "\n", Ref{Scheme: KMS, ID: blob, Context: ContextConsole}, ""},
		{"whole kms reference", KMS, "kms://" + b64 + "?region=eu-west-1",
			Ref{Scheme: KMS, ID: blob, Region: "eu-west-1"}, ""},
		{"name", SSM, "name", Ref{Scheme: SSM, ID: "name"}, ""},
		{"path and label", SSM, "/a/b:blue", Ref{Scheme: SSM, ID: "/a/b", Stage: "blue"}, ""},
		{"parameter ARN and version", SSM, ssmARN + ":3",
			Ref{Scheme: SSM, ID: ssmARN, Version: "3", Region: "eu-west-1"}, ""},
		{"whole ssm reference", SSM, "ssm:///a?ttl=1m", Ref{Scheme: SSM, ID: "/a", HasTTL: true, TTL: time.Minute}, ""},
		{"secret", SecretsManager, "prod/db", Ref{Scheme: SecretsManager, ID: "prod/db"}, ""},
		{"secret ARN with a tail", SecretsManager, secretARN + ":user::",
			Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1", Part: Part{Field: "user"}}, ""},
		{"whole secret reference", SecretsManager, "sm://db#f",
			Ref{Scheme: SecretsManager, ID: "db", Part: Part{Field: "f"}}, ""},
		{"literal", Literal, " anything {{resolve:", Ref{Scheme: Literal, ID: " anything {{resolve:"}, ""},
		{"literal like a reference", Literal, "ssm:///a", Ref{Scheme: Literal, ID: "ssm:///a"}, ""},
		{"literal with its scheme", Literal, "literal://a", Ref{Scheme: Literal, ID: "a"}, ""},
		{"empty literal", Literal, "", Ref{Scheme: Literal}, ""},

		{"empty", KMS, " ", Ref{}, "empty"},
		{"other scheme", SSM, "sm://a", Ref{}, "another scheme"},
		{"literal declared otherwise", SSM, "literal://hunter2", Ref{}, "another scheme"},
		{"options", SSM, "/a?region=eu-west-1", Ref{}, "may not stand"},
		{"field", SecretsManager, "db#f", Ref{}, "may not stand"},
		{"no first slash", SSM, "app/db", Ref{}, "does not start with one"},
		{"no first slash, whole", SSM, "ssm://app/db", Ref{}, "does not start with one"},
		{"quotes", SecretsManager, `"prod/db"`, Ref{}, "spaces or quotes"},
		{"newline", SSM, "/a\n", Ref{}, "spaces or quotes"},
		{"upper case", SSM, "SSM:///a", Ref{}, "not in lower case"},
		{"resolve", SSM, "{{resolve:ssm:hunter2}}", Ref{}, "CloudFormation"},
		{"plaintext", KMS, "hunter2!", Ref{}, "not base64"},
		{"unknown option", KMS, "kms://" + b64 + "?hunter2=1", Ref{}, "the option at byte 51 is unknown"},
		{"unknown scheme", "vault", "a", Ref{}, "declared scheme"},
		{"too long", Literal, strings.Repeat("a", 16<<10), Ref{}, "16 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Bare(tt.scheme, tt.text)
			if got != tt.want {
				t.Errorf("Bare = %+v, want %+v", got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error quotes the text: %v", err)
			}
			if err == nil {
				if again, err := Parse(got.Text()); again != got || err != nil {
					t.Errorf("Parse(Text()) = %+v, %v", again, err)
				}
			}
		})
	}
}

// TestConstructors_TextFromUsers is about text from users of the program, who must not choose more than a name.
func TestConstructors_TextFromUsers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "x?region=eu-west-1", "x#f", "x:1", "x:", "/a/*", "*", "/a/*:1", ssmARN + ":3",
		ssmARN + "/*", "ssm:///a", " x",
		"x\n", "a/b", "/a/../../b?", "{{resolve:ssm:a}}", secretARN} {
		if r, err := Parameter(name); err == nil || r != (Ref{}) {
			t.Errorf("Parameter(%q) = %+v, %v", name, r, err)
		}
	}
	for _, id := range []string{"", "x?region=eu-west-1", "x#f", "x:1", "x:::", "*", secretARN + ":f::",
		secretARN + ":::", "sm://a", " x", ssmARN} {
		if r, err := Secret(id); err == nil || r != (Ref{}) {
			t.Errorf("Secret(%q) = %+v, %v", id, r, err)
		}
	}
	for _, n := range []int{0, 31, 6145} {
		if r, err := Ciphertext(make([]byte, n)); err == nil || r != (Ref{}) {
			t.Errorf("Ciphertext of %d bytes: %v", n, err)
		}
	}
	b := make([]byte, 6144)
	r, err := Ciphertext(b)
	b[0] = 1
	if err != nil || r.ID != string(make([]byte, 6144)) {
		t.Errorf("Ciphertext does not hold a copy: %v", err)
	}
	if r, err := Parameter(ssmARN); err != nil || r != (Ref{Scheme: SSM, ID: ssmARN, Region: "eu-west-1"}) {
		t.Errorf("Parameter(ARN) = %+v, %v", r, err)
	}
	if r, err := Secret(secretARN); err != nil ||
		r != (Ref{Scheme: SecretsManager, ID: secretARN, Region: "eu-west-1"}) {
		t.Errorf("Secret(ARN) = %+v, %v", r, err)
	}
}

func TestWith_Options(t *testing.T) {
	t.Parallel()
	type kv [2]string
	tests := []struct {
		name, ref string
		set       []kv
		want      string // text, or the error if it holds a space
	}{
		{"values are not decoded", "kms://" + b64, []kv{{"context.a", "50%25 & #x?{{resolve:"}},
			"kms://" + b64 + "?context.a=50%2525%20%26%20%23x%3F%7B%7Bresolve:"},
		{"pairs add up, sorted", "kms://" + b64, []kv{{"context.b", "1"}, {"context.a", "2"}, {"context.b", "3"}},
			"kms://" + b64 + "?context.a=2&context.b=3"},
		{"none replaces pairs", "kms://" + b64 + "?context.a=1", []kv{{"context", "none"}},
			"kms://" + b64 + "?context=none"},
		{"a pair replaces console", "kms://" + b64 + "?context=console", []kv{{"context.a", "1"}},
			"kms://" + b64 + "?context.a=1"},
		{"parameter version", "ssm:///a", []kv{{"version", "3"}}, "ssm:///a:3"},
		{"label replaces version", "ssm:///a:3", []kv{{"stage", "blue"}}, "ssm:///a:blue"},
		{"version replaces label", "ssm:///a:blue", []kv{{"version", "4"}}, "ssm:///a:4"},
		{"version that is a label", "ssm:///a", []kv{{"version", "blue"}}, "not a version number"},
		{"label that is a version", "ssm:///a", []kv{{"stage", "3"}}, "not a version or a label"},
		{"stage that is a version id", "ssm:///aws/reference/secretsmanager/a", []kv{{"stage", versionID}},
			"not a staging label"},
		{"secret stage beside version", "sm://a?version=" + versionID, []kv{{"stage", "AWSPENDING"}},
			"sm://a?stage=AWSPENDING&version=" + versionID},
		{"stage with colon and amp", "sm://a", []kv{{"stage", "x:y&z=%"}}, "sm://a?stage=x:y%26z%3D%25"},
		{"field", "sm://a?ttl=1m", []kv{{"field", "a#b?c%41"}}, "sm://a?ttl=1m0s#a#b?c%41"},
		{"field with a space at its end", "sm://a", []kv{{"field", "a "}}, "a space at its end"},
		{"field that reads like CloudFormation", "sm://a", []kv{{"field", "{{resolve:ssm:b}}"}}, "{{ or }}"},
		{"field with a space at its end that nobody sees", "sm://a", []kv{{"field", "a\u200b"}}, "a space at its end"},
		{"tilde in a key", "sm://a", []kv{{"field", "a~2"}}, "sm://a#a~2"},
		{"field empty", "sm://a", []kv{{"field", ""}}, "has no value"},
		{"optional", "sm://a", []kv{{"optional", ""}}, "sm://a?optional"},
		{"optional true", "sm://a", []kv{{"optional", "true"}}, "sm://a?optional"},
		{"region", "sm://a?region=eu-west-1", []kv{{"region", "eu-west-2"}}, "sm://a?region=eu-west-2"},
		{"region of an ARN", "sm://" + secretARN, []kv{{"region", "eu-west-2"}}, "states another Region"},
		{"key replaces key and its region", "kms://" + b64 + "?key=" + keyARN, []kv{{"key", "alias/a"}},
			"kms://" + b64 + "?key=alias/a"},
		{"key keeps a stated region", "kms://" + b64 + "?region=eu-west-1", []kv{{"key", "alias/a"}},
			"kms://" + b64 + "?region=eu-west-1&key=alias/a"},
		{"literal", "literal://a", []kv{{"field", "f"}}, "is not for literal"},
		{"unknown", "sm://a", []kv{{"colour", "red"}}, "is unknown"},
		{"foreign", "sm://a", []kv{{"key", "alias/a"}}, "is not for secretsmanager"},
		{"too long", "sm://a", []kv{{"field", strings.Repeat("a", 17<<10)}}, "longer than 16 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := Parse(tt.ref)
			for _, s := range tt.set {
				if err == nil {
					r, err = r.With(s[0], s[1])
				}
			}
			if strings.Contains(tt.want, " ") {
				if err == nil || !strings.Contains(err.Error(), tt.want) || r != (Ref{}) {
					t.Fatalf("%q, error %v, want %q", r.Text(), err, tt.want)
				}
				return
			}
			if err != nil || r.Text() != tt.want {
				t.Fatalf("%q, %v, want %q", r.Text(), err, tt.want)
			}
			if again, err := Parse(r.Text()); again != r || err != nil {
				t.Errorf("Parse(Text()) = %+v, %v, want %+v", again, err, r)
			}
		})
	}

	r, _ := Ciphertext([]byte(blob))
	var err error
	for i := range 65 {
		r, err = r.With("context."+strings.Repeat("a", i+1), "x")
	}
	if err == nil {
		t.Error("65 pairs of encryption context are accepted")
	}
}

func TestEncryptionContext_Forms(t *testing.T) {
	t.Parallel()
	r, err := Parse("kms://" + b64 + "?context.a=b%3D+c&context.%C3%A9%20x=1")
	want := map[string]string{"a": "b=+c", "é x": "1"}
	if got := r.EncryptionContext(); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, text := range []string{"kms://" + b64, "kms://" + b64 + "?context=none",
		"kms://" + b64 + "?context=console", "sm://a"} {
		if r, err := Parse(text); err != nil || r.EncryptionContext() != nil {
			t.Errorf("%s: got %q, %v, want nil", text, r.EncryptionContext(), err)
		}
	}
}

func TestBegins_Prefixes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"kms:/x", "SSM://", "Sm:/a", "Literal://", " \t'sm://a", "„secretsmanager://a“",
		"«kms://x", "x {{resolve:a", "{{{ resolve:",
		"{{a {{resolve:", "\ufeffssm://a", "\u2060ssm://a", "\u200essm://a", "`ssm://a`"} {
		if !Begins(text) {
			t.Errorf("Begins(%q) = false", text)
		}
	}
	for _, text := range []string{"", "ssm:", "ssm", "ssmx:/", "xssm:/a", "postgres://u:p@h/ssm://", "https://sm:/",
		"{{ resolve", "resolve:", "/app/db", "arn:aws:ssm:", "{ {resolve:"} {
		if Begins(text) {
			t.Errorf("Begins(%q) = true", text)
		}
	}
}

// A comment that may be a field is repeated behind a name only, and not behind a ciphertext.
func TestParse_CommentBehindCiphertext(t *testing.T) {
	t.Parallel()
	const blob = "AQICAHhhunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2A"
	if _, err := Parse("kms://" + blob + " #field"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
