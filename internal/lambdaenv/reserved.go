package lambdaenv

import (
	"slices"
	"strings"
)

// Reserved reports whether Lambda or the SDK reads the variable of that name, so that it
// cannot hold a reference. Lambda reserves names, not prefixes: functions have variables
// of their own such as AWS_SECRET_ARN.
func Reserved(name string) bool {
	if first, _, _ := strings.Cut(name, "_"); !slices.Contains(firstWords[:], first) {
		return false // as most names are
	}
	listed := slices.Contains(lambdaNames[:], name) || slices.Contains(sdkNames[:], name)
	// AWS_ENDPOINT_URL_SSM and the like: one for each service.
	return listed || strings.HasPrefix(name, "AWS_ENDPOINT_URL_")
}

// firstWords is what stands before the first underscore of each name that is listed below.
var firstWords = [...]string{"", "AWS", "LAMBDA"}

// lambdaNames is what Lambda sets:
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
var lambdaNames = [...]string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
	"AWS_EXECUTION_ENV", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL", "AWS_LAMBDA_RUNTIME_API",
	"AWS_LAMBDA_MAX_CONCURRENCY", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN",
	"AWS_LAMBDA_EXEC_WRAPPER", "AWS_SAM_LOCAL",
}

// sdkNames is what the SDK reads: the constants of
// github.com/aws/aws-sdk-go-v2/config/env_config.go, and those of its other packages.
var sdkNames = [...]string{
	"AWS_SECRET_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE",
	"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
	"AWS_ROLE_SESSION_NAME", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL",
	"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE",
	"AWS_NEW_RETRIES_2026", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
	"AWS_DEFAULTS_MODE", "AWS_SDK_UA_APP_ID", "AWS_DISABLE_REQUEST_COMPRESSION",
	"AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "AWS_REQUEST_CHECKSUM_CALCULATION",
	"AWS_RESPONSE_CHECKSUM_VALIDATION", "AWS_ACCOUNT_ID", "AWS_ACCOUNT_ID_ENDPOINT_MODE",
	"AWS_AUTH_SCHEME_PREFERENCE", "AWS_ENABLE_ENDPOINT_DISCOVERY", "AWS_LOGIN_CACHE_DIRECTORY",
	"AWS_SIGV4A_SIGNING_REGION_SET", "AWS_S3_USE_ARN_REGION",
	"AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS", "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH",
	"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "AWS_EC2_METADATA_V1_DISABLED",
}
