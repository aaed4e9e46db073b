//lint:file-ignore U1000 The pages quote what stands here; nothing calls it.

package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/lambdasecrets/secrets"
)

// region: split

// A split sends the references whose ID matches to one provider, and all others to another one.
type split struct {
	matches      func(id string) bool
	with, others secrets.Provider
}

func (s split) Fetch(ctx context.Context, refs []secrets.Ref) []secrets.Result {
	results := make([]secrets.Result, len(refs))
	var wg sync.WaitGroup
	fetch := func(p secrets.Provider, matches bool) {
		var part []secrets.Ref
		var at []int
		for i, ref := range refs {
			if s.matches(ref.ID()) == matches {
				part, at = append(part, ref), append(at, i)
			}
		}
		if len(part) == 0 {
			return
		}
		for k, r := range p.Fetch(ctx, part) {
			results[at[k]] = r
		}
	}
	wg.Go(func() { fetch(s.with, true) })
	wg.Go(func() { fetch(s.others, false) })
	wg.Wait()
	return results
}

// endregion

// region: vault

// vault reads references such as sm://vault/prod/db#password from Vault's key-value engine,
// version 2.
type vault struct {
	address string
	token   func(context.Context) (string, error) // from Vault's AWS login, kept until its lease ends
	client  http.Client
}

func (v *vault) fetch(ctx context.Context, ref secrets.Ref) (none secrets.Value, err error) {
	token, err := v.token(ctx)
	if err != nil {
		return none, err
	}
	url := v.address + "/v1/secret/data/" + strings.TrimPrefix(ref.ID(), "vault/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return none, err
	}
	req.Header.Set("X-Vault-Token", token)
	resp, err := v.client.Do(req)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return none, fmt.Errorf("vault: %w", secrets.ErrNotFound)
	case http.StatusForbidden:
		return none, fmt.Errorf("vault: %w", secrets.ErrAccessDenied)
	case http.StatusTooManyRequests:
		return none, fmt.Errorf("vault: %w", secrets.ErrThrottled)
	default:
		return none, fmt.Errorf("vault answers %d: %w", resp.StatusCode, secrets.ErrUnavailable)
	}
	var body struct {
		Data struct {
			Data     json.RawMessage
			Metadata struct{ Version int }
		}
	}
	if json.NewDecoder(resp.Body).Decode(&body) != nil || len(body.Data.Data) == 0 {
		return none, fmt.Errorf("vault's answer has no data: %w", secrets.ErrUnavailable)
	}
	return secrets.NewValue(string(body.Data.Data), strconv.Itoa(body.Data.Metadata.Version)), nil
}

// endregion

func withVault(ctx context.Context, cfg aws.Config, token func(context.Context) (string, error)) {
	// region: with-vault
	v := &vault{
		address: "https://vault.internal:8200",
		token:   token,
		client:  http.Client{Timeout: 2 * time.Second},
	}
	env := secrets.MustWarm(ctx, secrets.WithProvider(split{
		matches: func(id string) bool { return strings.HasPrefix(id, "vault/") },
		with:    secrets.ProviderFunc(v.fetch),
		others:  secrets.NewSecretsManager(cfg),
	}, secrets.SecretsManager))
	// endregion
	_ = env
}

// region: appconfig

// appConfig reads references such as ssm:///appconfig/APPLICATION/ENVIRONMENT/PROFILE.
func appConfig(ctx context.Context, ref secrets.Ref) (none secrets.Value, err error) {
	part := strings.Split(strings.TrimPrefix(ref.ID(), "/appconfig/"), "/")
	if len(part) != 3 {
		return none, fmt.Errorf("write /appconfig/APPLICATION/ENVIRONMENT/PROFILE: %w", secrets.ErrInvalidReference)
	}
	url := fmt.Sprintf("http://localhost:2772/applications/%s/environments/%s/configurations/%s",
		part[0], part[1], part[2])
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return none, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	switch {
	case err != nil:
		return none, err
	case resp.StatusCode == http.StatusNotFound:
		return none, fmt.Errorf("AppConfig: %w", secrets.ErrNotFound)
	case resp.StatusCode != http.StatusOK:
		return none, fmt.Errorf("AppConfig answers %d: %w", resp.StatusCode, secrets.ErrUnavailable)
	}
	return secrets.NewValue(string(text), resp.Header.Get("Configuration-Version")), nil
}

// endregion
