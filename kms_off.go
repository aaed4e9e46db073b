//go:build secrets.nokms

package secrets

func newKMS(backendConfig) Provider { return leftOut(KMS, "secrets.nokms") }
