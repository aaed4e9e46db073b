//go:build secrets.nossm

package secrets

func newSSM(backendConfig) Provider { return leftOut(SSM, "secrets.nossm") }
