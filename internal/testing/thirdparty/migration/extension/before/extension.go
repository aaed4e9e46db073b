package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
)

type secret struct {
	SecretString string `json:"SecretString"`
}

// getSecret asks the extension, which listens on loopback.
func getSecret(ctx context.Context, id string) (string, error) {
	address := fmt.Sprintf("http://localhost:%s/secretsmanager/get?secretId=%s",
		os.Getenv("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT"), url.QueryEscape(id))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Aws-Parameters-Secrets-Token", os.Getenv("AWS_SESSION_TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the extension answers %s", resp.Status)
	}
	var s secret
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return "", err
	}
	return s.SecretString, nil
}
