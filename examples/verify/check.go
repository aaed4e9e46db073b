package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/lambdasecrets/secrets/examples/internal/environ"
	"github.com/lambdasecrets/secrets/internal/arn"
	"github.com/lambdasecrets/secrets/internal/iam"
	"github.com/lambdasecrets/secrets/internal/refsyntax"
)

// checker checks the references of one environment.
type checker struct {
	env                    environ.Environment
	role, region, function string
	key                    string
	iam                    simulator
	ssm                    *ssm.Client
	sm                     *secretsmanager.Client
	kms                    *kms.Client
}

func newChecker(cfg aws.Config, e environ.Environment, role, region, function, key string) *checker {
	c := &checker{
		env: e, role: cmp.Or(role, e.Role), key: key,
		region:   cmp.Or(region, e.Region, e.Lookup("AWS_REGION"), cfg.Region),
		function: cmp.Or(function, e.Function, e.Lookup("AWS_LAMBDA_FUNCTION_NAME")),
	}
	cfg.Region = c.region
	c.ssm, c.sm, c.kms = ssm.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg), kms.NewFromConfig(cfg)
	c.iam = newSimulator(cfg, c.role)
	return c
}

// account is the role's, or where there is none unknown.
func (c *checker) account() string {
	if f := strings.Split(c.role, ":"); len(f) > 4 {
		return f[4]
	}
	return c.env.Account
}

// place is where a reference is looked for.
type place struct {
	iam.Scope
	ref  refsyntax.Ref
	res  *result
	role string // that reads it
}

func (c *checker) check(ctx context.Context, r environ.Reference) *result {
	ref := r.Ref
	ref.ID = strings.NewReplacer(environ.RegionStandIn, c.region, environ.AccountStandIn, c.account()).Replace(ref.ID)
	if ref.Region == environ.RegionStandIn {
		ref.Region = c.region
	}
	res := newResult(c.env, r.Variable, ref.Shown())
	p := place{iam.Scope{Region: cmp.Or(ref.Region, c.region), Account: c.account()}, ref, res, c.role}
	if ref.Role != "" {
		c.readable(ctx, p, []string{"sts:AssumeRole"}, ref.Role, nil)
		p.role = ref.Role
		if a, _ := arn.Parse(ref.Role); a.Account != p.Account {
			res.set(&res.Exists, unchecked, "it is read with a role of account "+a.Account, "verify it there")
			return res
		}
	}
	c.source(ctx, p)
	if second, ok := ref.InFailover(); ok {
		p.ref, p.Region = second, second.Region
		c.source(ctx, p)
	}
	return res
}

// source checks what is read in one Region.
func (c *checker) source(ctx context.Context, p place) {
	ref, res := p.ref, p.res
	name, isSecret := iam.ReferenceSecret(ref.ID)
	switch {
	case p.Region == "":
		res.set(&res.Exists, unchecked, "its Region is not known", "give -region")
	case ref.Scheme != refsyntax.KMS && len(environ.Unknowns(ref.ID)) > 0:
		res.set(&res.Exists, unchecked, "part of its name is known to the deployment only",
			"verify the deployed function's configuration")
	case ref.Scheme == refsyntax.KMS:
		c.ciphertext(ctx, p)
	case isSecret:
		c.readable(ctx, p, []string{"ssm:GetParameter", "ssm:GetParameters"}, p.ParameterARN(ref.ID), nil)
		p.ref.ID = name
		c.secret(ctx, p)
	case ref.Scheme == refsyntax.SecretsManager:
		c.secret(ctx, p)
	case strings.HasSuffix(ref.ID, "/*"):
		c.tree(ctx, p)
	default:
		c.parameter(ctx, p)
	}
}

// denied says that the credentials of whoever runs this do not suffice, or what else kept a check from being made.
func denied(res *result, check *status, action string, err error) {
	var api smithy.APIError
	switch {
	case errors.As(err, &api) && strings.HasPrefix(api.ErrorCode(), "AccessDenied"):
		res.set(check, unchecked, "your own credentials may not "+action,
			"allow them "+action+", or run this with others")
	case errors.As(err, &api):
		res.set(check, unchecked, action+" failed: "+api.ErrorCode()+": "+api.ErrorMessage(), "run this again")
	default:
		res.set(check, unchecked, action+" failed: "+err.Error(), "check the Region, the network and your credentials")
	}
}

// describe lists what a filter of DescribeParameters finds.
func (c *checker) describe(ctx context.Context, p place, key, option string,
	values ...string) ([]ssmtypes.ParameterMetadata, error) {
	in := &ssm.DescribeParametersInput{ParameterFilters: []ssmtypes.ParameterStringFilter{
		{Key: aws.String(key), Option: aws.String(option), Values: values},
	}}
	var all []ssmtypes.ParameterMetadata
	for pages := ssm.NewDescribeParametersPaginator(c.ssm, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx, func(o *ssm.Options) { o.Region = p.Region })
		if err != nil {
			return nil, err
		}
		all = append(all, out.Parameters...)
	}
	return all, nil
}

func (c *checker) parameter(ctx context.Context, p place) {
	res, name := p.res, p.ref.ID
	arn := p.ParameterARN(name)
	read := []string{"ssm:GetParameter", "ssm:GetParameters"}
	if f := strings.SplitN(arn, ":", 6); f[4] == "" || p.Account != "" && f[4] != p.Account {
		c.readable(ctx, p, read, arn, nil)
		if f[4] != "" {
			res.set(&res.Exists, unchecked, "account "+f[4]+" shares it, and does not let others describe it",
				"verify it there")
		}
		return
	}
	base := refsyntax.BaseName(name)
	found, err := c.describe(ctx, p, "Name", "Equals", "/"+base, base)
	found = slices.DeleteFunc(found, func(m ssmtypes.ParameterMetadata) bool {
		return !strings.HasPrefix(name, "arn:") && aws.ToString(m.Name) != name && aws.ToString(m.Name) != "/"+base
	})
	switch {
	case err != nil:
		denied(res, &res.Exists, "ssm:DescribeParameters", err)
	case len(found) == 0 && p.ref.Optional:
		res.set(&res.Exists, absent, "", "")
	case len(found) == 0:
		res.set(&res.Exists, failed, fmt.Sprintf("Parameter Store in %s has no parameter %s", p.Region, name),
			"check the spelling, the account and the Region")
		return
	default:
		arn = cmp.Or(aws.ToString(found[0].ARN), arn)
		res.set(&res.Exists, ok, "", "")
		c.parameterVersion(ctx, p, found[0])
	}
	c.readable(ctx, p, read, arn, nil)
	if len(found) > 0 && found[0].Type == ssmtypes.ParameterTypeSecureString {
		c.usable(ctx, p, aws.ToString(found[0].KeyId), p.ParameterKey(arn, ""))
	}
}

// parameterVersion looks for a version number or a label.
func (c *checker) parameterVersion(ctx context.Context, p place, found ssmtypes.ParameterMetadata) {
	res := p.res
	switch n, _ := strconv.ParseInt(p.ref.Version, 10, 64); {
	case p.ref.Selector() == "":
	case p.ref.Version != "" && (n > found.Version || n <= found.Version-100):
		res.set(&res.Version, failed, fmt.Sprintf("it has no version %d: the newest is %d, and 100 are kept",
			n, found.Version), "state one of those, or none")
	case p.ref.Version != "":
		res.set(&res.Version, ok, "", "")
	case found.Type != ssmtypes.ParameterTypeSecureString:
		res.set(&res.Version, unchecked, "a label of a String cannot be looked for without its value",
			"aws ssm get-parameter-history tells")
	default:
		_, err := c.ssm.GetParameter(ctx,
			&ssm.GetParameterInput{Name: aws.String(p.ref.WireName()), WithDecryption: aws.Bool(false)},
			func(o *ssm.Options) { o.Region = p.Region })
		if code := codeOf(err); code == "ParameterVersionNotFound" || code == "ParameterNotFound" {
			res.set(&res.Version, failed, "it has no label "+p.ref.Stage,
				"aws ssm label-parameter-version, or state another")
		} else if err != nil {
			denied(res, &res.Version, "ssm:GetParameter", err)
		} else {
			res.set(&res.Version, ok, "", "")
		}
	}
}

func (c *checker) tree(ctx context.Context, p place) {
	res, path := p.res, strings.TrimSuffix(p.ref.ID, "/*")
	found, err := c.describe(ctx, p, "Path", "Recursive", path)
	switch {
	case err != nil:
		denied(res, &res.Exists, "ssm:DescribeParameters", err)
	case len(found) == 0 && p.ref.Optional:
		res.set(&res.Exists, absent, "", "")
	case len(found) == 0:
		res.set(&res.Exists, failed, fmt.Sprintf("Parameter Store in %s has no parameter below %s", p.Region, path),
			"check the spelling, the account and the Region")
		return
	case len(found) > 100:
		res.set(&res.Exists, failed, fmt.Sprintf("there are %d parameters below %s, and 100 are read at most",
			len(found), path), "refer to smaller trees")
	default:
		res.set(&res.Exists, ok, "", "")
	}
	c.readable(ctx, p, []string{"ssm:GetParametersByPath"}, p.ParameterARN(path)+"/", nil)
	keys := map[string]bool{}
	for _, m := range found {
		if key := aws.ToString(m.KeyId); m.Type == ssmtypes.ParameterTypeSecureString && !keys[key] {
			keys[key] = true
			c.usable(ctx, p, key, p.ParameterKey(aws.ToString(m.ARN), ""))
		}
	}
}

func (c *checker) secret(ctx context.Context, p place) {
	res := p.res
	const read = "secretsmanager:GetSecretValue"
	out, err := c.sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(p.ref.ID)},
		func(o *secretsmanager.Options) { o.Region = p.Region })
	code := codeOf(err)
	switch {
	case code == "ResourceNotFoundException" && p.ref.Optional:
		res.set(&res.Exists, absent, "", "")
		c.readable(ctx, p, []string{read}, strings.TrimSuffix(p.SecretARN(p.ref.ID), "-??????"), nil)
		return
	case code == "ResourceNotFoundException":
		next := "check the spelling, the account and the Region"
		if iam.FullSecretARN(p.ref.ID) && strings.HasPrefix(p.ref.ID, "arn:") {
			next += "; the ARN ends as a full one does, so it is not completed: write the name if it is none"
		}
		res.set(&res.Exists, failed, fmt.Sprintf("Secrets Manager in %s has no secret %s", p.Region, p.ref.ID), next)
		return
	case err != nil:
		denied(res, &res.Exists, "secretsmanager:DescribeSecret", err)
		c.readable(ctx, p, []string{read}, p.SecretARN(p.ref.ID), nil)
		return
	case out.DeletedDate != nil:
		res.set(&res.Exists, failed, "it is marked for deletion on "+out.DeletedDate.Format("2006-01-02"),
			"aws secretsmanager restore-secret --secret-id "+p.ref.ID)
	default:
		res.set(&res.Exists, ok, "", "")
	}
	c.secretVersion(ctx, p, out)
	arn := aws.ToString(out.ARN)
	c.readable(ctx, p, []string{read}, arn, nil)
	c.usable(ctx, p, aws.ToString(out.KmsKeyId), p.SecretKey(arn, ""))
}

// secretVersion looks for a version or a stage, AWSCURRENT if none is stated.
func (c *checker) secretVersion(ctx context.Context, p place, secret *secretsmanager.DescribeSecretOutput) {
	res, versions := p.res, secret.VersionIdsToStages
	stage := cmp.Or(p.ref.Stage, "AWSCURRENT")
	if id := p.ref.Version; id != "" {
		stages, found := versions[id]
		if !found { // it may be one without a stage
			out, err := c.sm.ListSecretVersionIds(ctx,
				&secretsmanager.ListSecretVersionIdsInput{SecretId: secret.ARN, IncludeDeprecated: aws.Bool(true)},
				func(o *secretsmanager.Options) { o.Region = p.Region })
			if err != nil {
				denied(res, &res.Version, "secretsmanager:ListSecretVersionIds", err)
				return
			}
			for _, v := range out.Versions {
				found = found || aws.ToString(v.VersionId) == id
			}
		}
		switch {
		case !found:
			res.set(&res.Version, failed, "it has no version "+id,
				"aws secretsmanager list-secret-version-ids lists those it has")
		case p.ref.Stage != "" && !slices.Contains(stages, p.ref.Stage):
			res.set(&res.Version, failed, "version "+id+" is not "+p.ref.Stage, "state the version or the stage alone")
		default:
			res.set(&res.Version, ok, "", "")
		}
		return
	}
	for _, stages := range versions {
		if slices.Contains(stages, stage) {
			res.set(&res.Version, ok, "", "")
			return
		}
	}
	next := "state a stage that it has"
	if stage == "AWSCURRENT" {
		next = "give it a value: aws secretsmanager put-secret-value"
	}
	res.set(&res.Version, failed, "no version of it is "+stage, next)
}

// readable asks the simulator whether the role may take actions on a resource.
func (c *checker) readable(ctx context.Context, p place, actions []string, resource string, keys map[string][]string) {
	res := p.res
	if p.role == "" {
		res.set(&res.Role, unchecked, "the function's role is not known", "give -role")
		return
	}
	verdicts, err := c.iam.simulate(ctx, p.role, actions, resource, keys)
	if code := codeOf(err); code == "NoSuchEntity" {
		res.set(&res.Role, failed, "there is no role "+p.role, "check its ARN")
		return
	} else if err != nil {
		denied(res, &res.Role, "iam:SimulatePrincipalPolicy", err)
		return
	}
	for _, action := range actions {
		if verdict := cmp.Or(verdicts[action], "no decision"); verdict != "allowed" {
			res.set(&res.Role, failed, fmt.Sprintf("the role may not %s on %s (%s)", action, resource, verdict),
				"allow it: examples/policy prints the policy that this environment needs")
			return
		}
	}
	res.set(&res.Role, ok, "", "")
}

// codeOf is AWS's code, or "".
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
