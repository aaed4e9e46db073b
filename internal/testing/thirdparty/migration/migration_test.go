//go:build unix

package migration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/lambdasecrets/secrets/internal/testing/endpoint"
	"github.com/lambdasecrets/secrets/internal/testing/lambdasim"
	"github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration/lib/used"
)

var update = flag.Bool("update", false, "write the table into docs/migration.md")

const (
	region    = "eu-west-1"
	page      = "../../../../docs/migration.md"
	here      = "github.com/lambdasecrets/secrets/internal/testing/thirdparty/migration"
	mostLines = 15 // written, and deleted, of one handler and its environment
	events    = 5  // of one environment
)

// A handler is one of those that move. Its folder is named after it.
type handler struct {
	name  string
	shape string // in the table of docs/migration.md
	event string
	want  string // what both programs answer, somewhere in their JSON
}

var handlers = []handler{
	{"sdk", "SDK calls by hand", `{"rawPath":"/orders"}`, used.With("orders", "swordfish")},
	{"caching", "aws-secretsmanager-caching-go", `{"orderId":"7"}`, used.With("a-webhook-key", "a-token")},
	{"awsenv", "aws-env", `{"Records":[]}`, used.With("a-password", "an-api-key", "a-signing-key")},
	{"extension", "the extension", `{"source":"aws.scheduler"}`, used.With("swordfish")},
	{"chamber", "chamber", `{"id":"7"}`, used.With("tuna", "cod")},
	{"getenv", "`os.Getenv` and `ssm.GetParameter`", `{"Records":[]}`, used.With("a-chat-token")},
}

// Six handlers of different shapes are moved as the page says: few lines change, the answers stay, and AWS is called no
// more often than before. The table of the page has these figures.
func TestMigration(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out: six handlers before and after: -short")
	}
	server, environ := start(t)
	chamber := build(t, "lib/chamber", t.TempDir(), "chamber")
	var table strings.Builder
	table.WriteString("| handler | lines written | lines deleted | files deleted | calls before | calls after |\n" +
		"|---|---|---|---|---|---|\n")
	for _, h := range handlers {
		d := compare(t, h.name)
		calls := map[string]int{}
		for _, side := range []string{"before", "after"} {
			binary := build(t, h.name+"/"+side, t.TempDir(), "bootstrap")
			if h.name == "chamber" && side == "before" {
				binary = underChamber(t, binary, chamber)
			}
			calls[side] = h.measure(t, server, binary, variables(t, h.name+"/"+side, environ))
		}
		t.Logf("%s: %d lines written, %d deleted, files deleted: %d; %d calls before, %d after",
			h.name, d.written, d.deleted, d.files, calls["before"], calls["after"])
		if d.written > mostLines || d.deleted > mostLines {
			t.Errorf("%s: %d lines written, %d deleted, want %d at most", h.name, d.written, d.deleted, mostLines)
		}
		if calls["after"] > calls["before"] || calls["after"] == 0 {
			t.Errorf("%s: %d calls before, %d after", h.name, calls["before"], calls["after"])
		}
		link := "../internal/testing/thirdparty/migration/" + h.name + "/"
		fmt.Fprintf(&table, "| %s: [before](%sbefore/main.go), [after](%safter/main.go) | %d | %d | %d | %d | %d |\n",
			h.shape, link, link, d.written, d.deleted, d.files, calls["before"], calls["after"])
	}
	if !t.Failed() {
		inPage(t, table.String())
	}
}

// inPage compares the table with that of the page.
func inPage(t *testing.T, table string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)(<!-- table: thirdparty/migration -->\n).*?\n\n`)
	updated := block.ReplaceAllString(string(text), "${1}"+table+"\n")
	switch {
	case !block.Match(text):
		t.Errorf("%s has no place for the table", page)
	case updated == string(text):
	case *update:
		if err := os.WriteFile(page, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has other figures; go test ./migration -update writes:\n%s", page, table)
	}
}

// start returns an endpoint that holds what the handlers read, and what the names ${…} of their environments stand for.
func start(t *testing.T) (*endpoint.Server, map[string]string) {
	server := endpoint.New(endpoint.Options{})
	t.Cleanup(server.Close)
	url, err := server.Start()
	if err != nil {
		t.Fatal(err)
	}
	store := server.Region(region)
	arn, _ := store.PutSecret("prod/db", `{"username":"orders","password":"swordfish"}`)
	store.PutSecret("prod/webhook", "a-webhook-key")
	store.PutSecret("prod/payment", `{"token":"a-token"}`)
	store.PutSecret("prod/password", "a-password")
	for name, value := range map[string]string{
		"/app/prod/api-key": "an-api-key", "/app/prod/slack-token": "a-chat-token",
		"/orders-prod/db_password": "tuna", "/orders-prod/api_key": "cod",
	} {
		store.PutParameter(endpoint.Parameter{Name: name, Type: "SecureString", Value: value})
	}
	ciphertext := store.Encrypt(store.CreateKey(), []byte("a-signing-key"), nil)
	return server, map[string]string{
		"SECRET_ARN": arn, "CIPHERTEXT": base64.StdEncoding.EncodeToString(ciphertext), "AWS_ENDPOINT_URL": url,
	}
}

// measure runs the function until two runs agree: on a busy machine a call may be cut off and made again.
func (h handler) measure(t *testing.T, server *endpoint.Server, binary string, environ map[string]string) (calls int) {
	t.Helper()
	last := -1
	for range 6 {
		if calls = h.run(t, server, binary, environ); calls == last {
			return calls
		}
		last = calls
	}
	t.Errorf("%s: no two runs make the same number of calls", h.name)
	return calls
}

// run starts an environment of the function, sends it events, and returns how often it called AWS.
func (h handler) run(t *testing.T, server *endpoint.Server, binary string, environ map[string]string) (calls int) {
	t.Helper()
	server.ResetCalls()
	extension := httptest.NewServer(newExtension(server.URL())) // of this environment
	defer extension.Close()
	environ["PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"] = extension.URL[strings.LastIndex(extension.URL, ":")+1:]
	f, err := lambdasim.Start(t.Context(), lambdasim.Config{
		Binary: binary, Region: region, Env: environ, Timeout: time.Minute, InitLimit: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range events {
		result, err := f.Invoke(t.Context(), []byte(h.event))
		if err != nil || result.FunctionError != nil || !strings.Contains(string(result.Payload), h.want) {
			t.Fatalf("%s: %v %v %s\n%s", h.name, err, result.FunctionError, result.Payload, f.Logs())
		}
	}
	for _, c := range server.Calls() {
		if c.Code != "" {
			t.Errorf("%s: %s answers %s", h.name, c.Operation, c.Code)
		}
	}
	return len(server.Calls())
}

// build compiles one of the programs.
func build(t *testing.T, pkg, dir, name string) (file string) {
	t.Helper()
	file = filepath.Join(dir, name)
	if err := lambdasim.Build(t.Context(), "", here+"/"+pkg, file, nil, "-s", "-w"); err != nil {
		t.Fatal(err)
	}
	return file
}

// underChamber lays a function out as its image does: the program, chamber, and the script that starts both.
func underChamber(t *testing.T, program, chamber string) (bootstrap string) {
	t.Helper()
	dir := t.TempDir()
	bootstrap = filepath.Join(dir, "bootstrap")
	script, err := os.ReadFile("chamber/before/bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bootstrap, script, 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{program: "orders", chamber: "chamber"} {
		if err := os.Symlink(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	return bootstrap
}

// variables are the function's environment, with the endpoint's address.
func variables(t *testing.T, dir string, environ map[string]string) map[string]string {
	t.Helper()
	all := map[string]string{"AWS_ENDPOINT_URL": environ["AWS_ENDPOINT_URL"]}
	for _, line := range lines(t, filepath.Join(dir, "function.env")) {
		name, value, _ := strings.Cut(line, "=")
		all[name] = os.Expand(value, func(name string) string { return environ[name] })
	}
	return all
}

// A difference is what changed between two folders.
type difference struct {
	written, deleted int // lines
	files            int // that went away whole; their lines do not count
}

// compare compares the folders before and after of a handler.
func compare(t *testing.T, name string) (d difference) {
	t.Helper()
	files, err := filepath.Glob(name + "/before/*")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		after := filepath.Join(name, "after", filepath.Base(file))
		if _, err := os.Stat(after); err != nil {
			d.files++
			continue
		}
		d.add(lines(t, file), lines(t, after))
	}
	return d
}

// add adds the lines of a and b that are not in their longest common subsequence.
func (d *difference) add(a, b []string) {
	common := make([]int, len(b)+1) // of a[:i] and b[:j]
	for i := range a {
		before := common[0]
		for j := range b {
			here := max(common[j+1], common[j])
			if a[i] == b[j] {
				here = before + 1
			}
			before, common[j+1] = common[j+1], here
		}
	}
	d.written += len(b) - common[len(b)]
	d.deleted += len(a) - common[len(b)]
}

func TestDifference(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		before, after string
		want          difference
	}{
		{"a b c", "a b c", difference{}},
		{"a b c", "a x c", difference{written: 1, deleted: 1}},
		{"a b c", "a c d e", difference{written: 2, deleted: 1}},
		{"a b b c", "b c b a", difference{written: 2, deleted: 2}},
		{"", "a b", difference{written: 2}},
		{"a b", "", difference{deleted: 2}},
	} {
		var got difference
		if got.add(strings.Fields(test.before), strings.Fields(test.after)); got != test.want {
			t.Errorf("%q to %q: %+v, want %+v", test.before, test.after, got, test.want)
		}
	}
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// An extension is the part of the Parameters and Secrets Lambda Extension that the handler uses: secrets by ID, kept
// for 300 s.
type extension struct {
	client *secretsmanager.Client
	mu     sync.Mutex
	kept   map[string][]byte
}

func newExtension(url string) *extension {
	return &extension{kept: map[string][]byte{}, client: secretsmanager.NewFromConfig(aws.Config{
		Region: region, BaseEndpoint: &url,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret-access-key", ""),
	})}
}

func (x *extension) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/secretsmanager/get" || r.Header.Get("X-Aws-Parameters-Secrets-Token") == "" {
		http.Error(w, "not found", http.StatusBadRequest)
		return
	}
	answer, err := x.get(r.Context(), r.URL.Query().Get("secretId"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(answer)
}

func (x *extension) get(ctx context.Context, id string) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if answer, ok := x.kept[id]; ok {
		return answer, nil
	}
	out, err := x.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(map[string]*string{"SecretString": out.SecretString, "VersionId": out.VersionId})
	if err == nil {
		x.kept[id] = answer
	}
	return answer, err
}
