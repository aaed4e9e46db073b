package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/internal/arn"
)

// simulator calls iam:SimulatePrincipalPolicy. It signs the request itself: the SDK's package for IAM, for one
// operation, would be one more module that all who use this library see in its go.mod.
type simulator struct {
	cfg          aws.Config
	url, signing string
}

// newSimulator finds IAM's endpoint: one per partition, which the role's ARN names.
func newSimulator(cfg aws.Config, role string) simulator {
	s := simulator{cfg, "https://iam.amazonaws.com", "us-east-1"}
	partition := arn.Partition(cfg.Region)
	if f := strings.Split(role, ":"); len(f) > 4 {
		partition = f[1]
	}
	switch partition {
	case "aws-cn":
		s.url, s.signing = "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"
	case "aws-us-gov":
		s.url, s.signing = "https://iam.us-gov.amazonaws.com", "us-gov-west-1"
	}
	if own := os.Getenv("AWS_ENDPOINT_URL_IAM"); own != "" {
		s.url = own
	} else if cfg.BaseEndpoint != nil {
		s.url = *cfg.BaseEndpoint
	}
	return s
}

// simulate returns action → decision: allowed, implicitDeny, explicitDeny, or what the organization says.
func (s simulator) simulate(ctx context.Context, role string, actions []string, resource string,
	keys map[string][]string) (map[string]string, error) {
	form := url.Values{"Action": {"SimulatePrincipalPolicy"}, "Version": {"2010-05-08"}, "PolicySourceArn": {role}}
	for i, action := range actions {
		form.Set("ActionNames.member."+strconv.Itoa(i+1), action)
	}
	form.Set("ResourceArns.member.1", resource)
	for i, name := range slices.Sorted(maps.Keys(keys)) {
		entry := "ContextEntries.member." + strconv.Itoa(i+1) + "."
		form.Set(entry+"ContextKeyName", name)
		form.Set(entry+"ContextKeyType",
			map[bool]string{true: "stringList", false: "string"}[name == "kms:EncryptionContextKeys"])
		for j, value := range keys[name] {
			form.Set(entry+"ContextKeyValues.member."+strconv.Itoa(j+1), value)
		}
	}
	body, err := s.post(ctx, form.Encode())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Action        string `xml:"EvalActionName"`
			Decision      string `xml:"EvalDecision"`
			Organizations string `xml:"OrganizationsDecisionDetail>AllowedByOrganizations"`
		} `xml:"SimulatePrincipalPolicyResult>EvaluationResults>member"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil || len(answer.Results) == 0 {
		return nil, fmt.Errorf("iam:SimulatePrincipalPolicy answered something else than results: %w", err)
	}
	decisions := map[string]string{}
	for _, r := range answer.Results {
		decisions[r.Action] = r.Decision
		if r.Organizations == "false" {
			decisions[r.Action] = "denied by a service control policy"
		}
	}
	return decisions, nil
}

// post signs and sends a form. Throttles and IAM's own failures are tried again, twice.
func (s simulator) post(ctx context.Context, form string) (body []byte, err error) {
	for wait := 500 * time.Millisecond; ; wait *= 4 {
		var status int
		if status, body, err = s.once(ctx, form); err != nil || status == http.StatusOK {
			return body, err
		}
		var answer struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		_ = xml.Unmarshal(body, &answer) // a gateway's page has neither
		err = &smithy.GenericAPIError{Code: answer.Code, Message: answer.Message}
		if answer.Code != "Throttling" && status < 500 || wait > 3*time.Second {
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s simulator) once(ctx context.Context, form string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(s.url, "/")+"/",
		strings.NewReader(form))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	credentials, err := s.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return 0, nil, err
	}
	sum := sha256.Sum256([]byte(form))
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "iam", s.signing,
		time.Now()); err != nil {
		return 0, nil, err
	}
	client := aws.HTTPClient(http.DefaultClient)
	if s.cfg.HTTPClient != nil {
		client = s.cfg.HTTPClient
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return res.StatusCode, body, err
}
