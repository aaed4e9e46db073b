//go:build !secrets.nokms && !secrets.nossm && !secrets.nosm

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// inJSON stands before moto and says in JSON, as AWS does, what moto denies in XML whatever the protocol.
func inJSON(t *testing.T, target string) string {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(res *http.Response) error {
		if res.StatusCode != http.StatusForbidden {
			return nil
		}
		var denial struct {
			Code    string `xml:"Errors>Error>Code"`
			Message string `xml:"Errors>Error>Message"`
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || xml.Unmarshal(body, &denial) != nil {
			res.Body = io.NopCloser(bytes.NewReader(body))
			return err
		}
		if denial.Code == "AccessDenied" {
			denial.Code = "AccessDeniedException"
		}
		body, _ = json.Marshal(map[string]string{"__type": denial.Code, "message": denial.Message})
		res.Body, res.ContentLength, res.StatusCode = io.NopCloser(bytes.NewReader(body)), int64(len(body)),
			http.StatusBadRequest
		res.Header = http.Header{"Content-Type": {"application/x-amz-json-1.1"},
			"Content-Length": {fmt.Sprint(len(body))}}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// moto is a server of the Python library of that name, in its IAM mode: signatures and actions are checked, resources
// are not.
type moto struct {
	t   *testing.T
	url string
}

func startMoto(t *testing.T) *moto {
	t.Helper()
	if err := exec.Command("python3", "-c", "import moto.server, flask").Run(); err != nil {
		t.Skip("left out: the policy against moto's IAM mode, for Python has no moto[server] here")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	server := exec.Command("python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
	server.Env = append(os.Environ(), "INITIAL_NO_AUTH_ACTION_COUNT=1000000")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	m := &moto{t, "http://" + addr}
	for range 300 {
		if res, err := http.Get(m.url + "/moto-api/data.json"); err == nil {
			res.Body.Close()
			return m
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("moto does not answer")
	return nil
}

func (m *moto) post(path string, header http.Header, body string) []byte {
	m.t.Helper()
	req, err := http.NewRequest("POST", m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		m.t.Fatalf("%s: %s %v\n%s", path, res.Status, err, answer)
	}
	return answer
}

// iam calls the IAM API. Its Query protocol takes a form.
func (m *moto) iam(action string, fields ...string) []byte {
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return m.post("/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"},
		"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIDADMIN/20261123/us-east-1/iam/aws4_request, " +
			"SignedHeaders=host, Signature=0"}}, form.Encode())
}

// enforced makes p the function's only policy, by name of actions: moto would deny every resource but *.
func (m *moto) enforced(p policy) {
	m.t.Helper()
	var open policy
	b, _ := json.Marshal(p)
	json.Unmarshal(b, &open)
	for _, s := range open.Statement {
		s.Resource, s.Condition = []string{"*"}, nil
	}
	m.post("/moto-api/reset-auth", nil, "1000000")
	m.iam("PutUserPolicy", "UserName", "function", "PolicyName", "p", "PolicyDocument", open.document())
	m.post("/moto-api/reset-auth", nil, "0")
}

// The printed policy by moto's judgement, statement by statement and action by action.
func TestMoto(t *testing.T) {
	t.Parallel()
	m := startMoto(t)
	const region = "eu-west-1"
	admin := aws.Config{Region: region, BaseEndpoint: &m.url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDADMIN", "x", "")}
	parameters := ssm.NewFromConfig(admin)
	for _, name := range []string{"/app/a", "/app/b", "/tree/a"} {
		if _, err := parameters.PutParameter(t.Context(),
			&ssm.PutParameterInput{Name: &name, Value: aws.String("v"), Type: types.ParameterTypeString}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := secretsmanager.NewFromConfig(admin).CreateSecret(t.Context(),
		&secretsmanager.CreateSecretInput{Name: aws.String("prod/db"), SecretString: aws.String("v")}); err != nil {
		t.Fatal(err)
	}
	keys := kms.NewFromConfig(admin)
	key, err := keys.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyMetadata.Arn, Plaintext: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	m.iam("CreateUser", "UserName", "function")
	var made struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	if err := xml.NewDecoder(bytes.NewReader(m.iam("CreateAccessKey", "UserName",
		"function"))).Decode(&made); err != nil || made.Secret == "" {
		t.Fatal("no access key: ", err)
	}
	environ := map[string]string{"AWS_REGION": region, "A": "ssm:///app/a", "B": "ssm:///app/b",
		"TREE": "ssm:///tree/*", "S": "sm://prod/db",
		"K": "kms://" + base64.StdEncoding.EncodeToString(sealed.CiphertextBlob) + "?context=none"}
	p := printed(t, lines(environ), "-account", "123456789012")
	cfg := admin.Copy()
	cfg.BaseEndpoint = aws.String(inJSON(t, m.url))
	cfg.Credentials = credentials.NewStaticCredentialsProvider(made.ID, made.Secret, "")

	m.enforced(p)
	if denied := failing(t, cfg, environ); denied != nil {
		t.Fatalf("with the whole policy %v are denied", denied)
	}
	want := map[string][]string{"Parameters": {"A", "B"}, "ParameterTrees": {"TREE"}, "Secrets": {"S"},
		"Ciphertexts":             {"K"},
		"ssm:GetParametersByPath": {"TREE"}, "secretsmanager:GetSecretValue": {"S"}, "kms:Decrypt": {"K"},
		"ssm:GetParameter": nil, "ssm:GetParameters": nil} // each stands in for the other
	for i, s := range p.Statement {
		m.enforced(p.without(i))
		if denied := failing(t, cfg, environ); !slices.Equal(denied, want[s.Sid]) {
			t.Errorf("without %s %v are denied, want %v", s.Sid, denied, want[s.Sid])
		}
		all := s.Action
		for i, action := range all {
			s.Action = slices.Delete(slices.Clone(all), i, i+1)
			if len(s.Action) == 0 {
				s.Action = []string{"sts:GetCallerIdentity"}
			}
			m.enforced(p)
			expected, known := want[action]
			if denied := failing(t, cfg, environ); !known || !slices.Equal(denied, expected) {
				t.Errorf("without %s %v are denied, want %v", action, denied, expected)
			}
		}
		s.Action = all
	}
	// A signature made with another secret key is refused, or moto checked nothing.
	cfg.Credentials = credentials.NewStaticCredentialsProvider(made.ID, "wrong", "")
	m.enforced(p)
	if out, err := ssm.NewFromConfig(cfg).GetParameter(t.Context(),
		&ssm.GetParameterInput{Name: aws.String("/app/a")}); err == nil {
		t.Errorf("moto let a wrong signature pass: %s", fmt.Sprint(out.Parameter.Name))
	}
}
