// Package awsenv does what telia-oss/aws-env does: it replaces references in the process environment by plaintexts,
// with one call for each, in the order of the environment.
package awsenv

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Populate sets each variable that holds a reference to its plaintext.
func Populate(ctx context.Context, cfg aws.Config) error {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		scheme, id, found := strings.Cut(value, "://")
		if !found {
			continue
		}
		plaintext := ""
		var err error
		switch scheme {
		case "sm":
			plaintext, err = secret(ctx, cfg, id)
		case "ssm":
			plaintext, err = parameter(ctx, cfg, id)
		case "kms":
			plaintext, err = decrypt(ctx, cfg, id)
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("populate %s: %w", name, err)
		}
		if err := os.Setenv(name, plaintext); err != nil {
			return err
		}
	}
	return nil
}

func secret(ctx context.Context, cfg aws.Config, id string) (string, error) {
	client := secretsmanager.NewFromConfig(cfg)
	out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

func parameter(ctx context.Context, cfg aws.Config, name string) (string, error) {
	client := ssm.NewFromConfig(cfg)
	out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Parameter.Value), nil
}

func decrypt(ctx context.Context, cfg aws.Config, text string) (string, error) {
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", err
	}
	out, err := kms.NewFromConfig(cfg).Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: blob})
	if err != nil {
		return "", err
	}
	return string(out.Plaintext), nil
}
