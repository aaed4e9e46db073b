//go:build secrets.nosm

package secrets

func newSecretsManager(backendConfig) Provider { return leftOut(SecretsManager, "secrets.nosm") }
