package endpoint

import "time"

// bucket is a token bucket.
type bucket struct {
	rate, burst, tokens float64
	filled              time.Time
}

// SetQuota limits a group of operations to rate requests per second after a burst; beyond, they are throttled. The
// groups are AWS's: "ssm" for the three Get operations together, "kms" for the cryptographic ones, and any other
// operation by its own name ("secretsmanager:BatchGetSecretValue"). A burst of 0 takes the quota away.
func (s *Server) SetQuota(group string, rate float64, burst int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.quotas, group)
	if burst > 0 {
		s.quotas[group] = &bucket{rate: rate, burst: float64(burst), tokens: float64(burst), filled: s.now()}
	}
}

func quotaGroup(op string) string {
	switch op {
	case "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath":
		return "ssm"
	case "kms:Decrypt", "kms:Encrypt":
		return "kms"
	}
	return op
}

// throttle takes a token for op.
func (s *Server) throttle(op string) error {
	b := s.quotas[quotaGroup(op)]
	if b == nil {
		return nil
	}
	now := s.now()
	b.tokens = min(b.burst, b.tokens+b.rate*max(0, now.Sub(b.filled).Seconds()))
	b.filled = now
	if b.tokens < 1 {
		return throttled(op)
	}
	b.tokens--
	return nil
}

func throttled(op string) error {
	if quotaGroup(op) == "kms" {
		return errorf("ThrottlingException",
			"You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
	}
	return errorf("ThrottlingException", "Rate exceeded")
}
