package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lambdasecrets/secrets"
)

// extension asks the AWS Parameters and Secrets Lambda Extension, a layer that listens on loopback.
type extension struct {
	url, token, region string
	client             *http.Client
}

// newExtension returns a Provider for the schemes SSM and SecretsManager. getenv is os.Getenv.
func newExtension(getenv func(string) string) secrets.Provider {
	port := cmp.Or(getenv("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"), "2773")
	e := &extension{
		url:    "http://localhost:" + port,
		token:  getenv("AWS_SESSION_TOKEN"),
		region: getenv("AWS_REGION"),
		client: &http.Client{
			Timeout:       2 * time.Second,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 3}, // what the extension serves at once; and no proxy
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	return secrets.ProviderFunc(e.fetch)
}

func (e *extension) fetch(ctx context.Context, ref secrets.Ref) (none secrets.Value, err error) {
	path, query := "/secretsmanager/get?", url.Values{"secretId": {ref.ID()}}
	version, stage := "versionId", "versionStage"
	if ref.Scheme() == secrets.SSM {
		path, query = "/systemsmanager/parameters/get?", url.Values{"name": {ref.ID()}, "withDecryption": {"true"}}
		version, stage = "version", "label"
	}
	if ref.Region() != "" && ref.Region() != e.region || strings.HasSuffix(ref.ID(), "/*") {
		return none, fmt.Errorf(
			"the extension knows its own Region only, and no trees: %w",
			secrets.ErrInvalidReference,
		)
	}
	if ref.Version() != "" {
		query.Set(version, ref.Version())
	}
	if ref.Stage() != "" {
		query.Set(stage, ref.Stage())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+path+query.Encode(), nil)
	if err != nil {
		return none, err
	}
	req.Header.Set("X-Aws-Parameters-Secrets-Token", e.token)
	resp, err := e.client.Do(req)
	if err != nil {
		return none, err // which is transient, as every error that wraps no kind
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return none, fmt.Errorf(
			"the extension answers with HTTP status %d: %w",
			resp.StatusCode,
			kindOf(string(body)),
		)
	}
	var answer struct {
		SecretString, VersionId *string
		SecretBinary            []byte
		Parameter               struct {
			Value   *string
			Version int64
		}
	}
	err = json.Unmarshal(body, &answer) // an error that may quote the answer
	switch p := answer.Parameter; {
	case err == nil && p.Value != nil:
		return secrets.NewValue(*p.Value, strconv.FormatInt(p.Version, 10)), nil
	case err == nil && answer.SecretString != nil && answer.VersionId != nil:
		return secrets.NewValue(*answer.SecretString, *answer.VersionId), nil
	case err == nil && answer.SecretBinary != nil && answer.VersionId != nil:
		return secrets.NewValue(string(answer.SecretBinary), *answer.VersionId), nil
	}
	return none, fmt.Errorf("the extension's answer makes no sense: %w", secrets.ErrUnavailable)
}

// kindOf tells from AWS's error code, which the extension passes on, what a failure is. Without one
// it is transient: "not ready", during init.
func kindOf(text string) error {
	for code, kind := range map[string]error{"AccessDenied": secrets.ErrAccessDenied,
		"ResourceNotFound":  secrets.ErrNotFound,
		"ParameterNotFound": secrets.ErrNotFound, "ParameterVersionNotFound": secrets.ErrNotFound,
		"Throttling": secrets.ErrThrottled} {
		if strings.Contains(text, code) {
			return kind
		}
	}
	return secrets.ErrUnavailable
}
