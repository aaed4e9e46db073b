# Terraform: the function, its API, parameter, secret, key and role. From this folder:
#
#   CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -tags lambda.norpc -o build/bootstrap .
#   terraform init
#   terraform apply -target=aws_kms_alias.orders          # the key first, for the signing key; answer its questions
#                                                         # with any text, nothing uses it yet
#   head -c 32 /dev/urandom >signing-key                  # the plaintext; delete the file when the function has it
#   aws kms encrypt --key-id alias/orders --encryption-context LambdaFunctionName=orders \
#     --plaintext fileb://signing-key --query CiphertextBlob --output text
#   terraform apply                                       # asks for the plaintexts, and for that ciphertext
#
# Plaintexts are ephemeral variables that go into write-only arguments: neither the plan nor the state holds them. To change one, raise its version.
# For x86-64 build with GOARCH=amd64 and write x86_64 below.
terraform {
  required_version = ">= 1.11"
  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

variable "function_name" {
  description = "Name of the function. The secret, the parameter and the key are named after it."
  type        = string
  default     = "orders"
}

variable "database_host" {
  description = "Host of the database, which the secret holds beside the password."
  type        = string
  default     = "db.internal"
}

variable "database_password" {
  description = "Plaintext. It is ephemeral: neither the plan nor the state holds it."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "api_key" {
  description = "Plaintext. It is ephemeral: neither the plan nor the state holds it."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "signing_key" {
  description = "Ciphertext in base64, as aws kms encrypt prints it."
  type        = string
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

resource "aws_kms_key" "orders" {
  description         = "Secrets of the function ${var.function_name}"
  enable_key_rotation = true
}

resource "aws_kms_alias" "orders" {
  name          = "alias/${var.function_name}"
  target_key_id = aws_kms_key.orders.key_id
}

resource "aws_secretsmanager_secret" "database" {
  name       = "${var.function_name}/db"
  kms_key_id = aws_kms_key.orders.arn
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id = aws_secretsmanager_secret.database.id
  secret_string_wo = jsonencode({
    username = "orders"
    password = var.database_password
    host     = var.database_host
    port     = 5432
    dbname   = "orders"
  })
  secret_string_wo_version = 1
}

resource "aws_ssm_parameter" "api_key" {
  name             = "/${var.function_name}/api-key"
  type             = "SecureString"
  key_id           = aws_kms_key.orders.arn
  value_wo         = var.api_key
  value_wo_version = 1
}

resource "aws_iam_role" "function" {
  name = var.function_name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "log" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_role_policy" "secrets" {
  name = "secrets"
  role = aws_iam_role.function.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadDatabase"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = aws_secretsmanager_secret.database.arn
      },
      {
        Sid      = "DecryptDatabase"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = aws_kms_key.orders.arn
        Condition = {
          StringEquals = {
            "kms:ViaService"                  = "secretsmanager.${data.aws_region.current.region}.${data.aws_partition.current.dns_suffix}"
            "kms:EncryptionContext:SecretARN" = aws_secretsmanager_secret.database.arn
          }
        }
      },
      {
        Sid      = "ReadApiKey"
        Effect   = "Allow"
        Action   = "ssm:GetParameter"
        Resource = aws_ssm_parameter.api_key.arn
      },
      {
        Sid      = "DecryptApiKey"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = aws_kms_key.orders.arn
        Condition = {
          StringEquals = {
            "kms:ViaService"                      = "ssm.${data.aws_region.current.region}.${data.aws_partition.current.dns_suffix}"
            "kms:EncryptionContext:PARAMETER_ARN" = aws_ssm_parameter.api_key.arn
          }
        }
      },
      {
        Sid      = "DecryptSigningKey"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = aws_kms_key.orders.arn
        Condition = {
          StringEquals = {
            "kms:EncryptionContext:LambdaFunctionName" = var.function_name
          }
        }
      },
    ]
  })
}

data "archive_file" "function" {
  type             = "zip"
  source_file      = "${path.module}/build/bootstrap"
  output_path      = "${path.module}/build/function.zip"
  output_file_mode = "0755"
}

# Without it Lambda makes one that keeps everything for ever.
resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.function_name}"
  retention_in_days = 30
}

resource "aws_cloudwatch_log_metric_filter" "denied" {
  name           = "secrets-denied"
  log_group_name = aws_cloudwatch_log_group.function.name
  pattern        = "{ $.msg = \"secrets.denied\" }"

  metric_transformation {
    name          = "SecretsDenied"
    namespace     = var.function_name
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_log_metric_filter" "dropped" {
  name           = "secrets-dropped"
  log_group_name = aws_cloudwatch_log_group.function.name
  pattern        = "{ $.msg = \"secrets.dropped\" || ($.msg = \"secrets.warm\" && $.retryable IS FALSE) }"

  metric_transformation {
    name          = "SecretsDropped"
    namespace     = var.function_name
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "denied" {
  alarm_name          = "${var.function_name}-secrets-denied"
  alarm_description   = "A secret is denied or gone. Its old value is served for five minutes."
  namespace           = var.function_name
  metric_name         = "SecretsDenied"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_metric_alarm" "dropped" {
  alarm_name          = "${var.function_name}-secrets-dropped"
  alarm_description   = "A secret has no value any more, or an init failed for good."
  namespace           = var.function_name
  metric_name         = "SecretsDropped"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
}

resource "aws_cloudwatch_dashboard" "function" {
  dashboard_name = var.function_name
  dashboard_body = jsonencode({
    widgets = [
      {
        type = "metric", width = 12, height = 6
        properties = {
          title   = "Secrets that are denied or gone"
          region  = data.aws_region.current.region
          stat    = "Sum"
          period  = 60
          metrics = [[var.function_name, "SecretsDenied"], [var.function_name, "SecretsDropped"]]
        }
      },
      {
        type = "metric", width = 12, height = 6
        properties = {
          title  = "Function"
          region = data.aws_region.current.region
          stat   = "Sum"
          period = 60
          metrics = [
            ["AWS/Lambda", "Errors", "FunctionName", var.function_name],
            ["AWS/Lambda", "Throttles", "FunctionName", var.function_name],
          ]
        }
      },
    ]
  })
}

resource "aws_lambda_function" "orders" {
  function_name    = var.function_name
  role             = aws_iam_role.function.arn
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = ["arm64"]
  memory_size      = 256
  timeout          = 10 # an init that crashed runs again under it: it must be longer than a warm, which takes 2 seconds at most

  environment {
    variables = {
      DATABASE    = "sm://${aws_secretsmanager_secret.database.name}"
      API_KEY     = "ssm://${aws_ssm_parameter.api_key.name}"
      SIGNING_KEY = var.signing_key
    }
  }

  logging_config {
    log_format = "Text" # what the program writes is JSON already
    log_group  = aws_cloudwatch_log_group.function.name
  }

  # The values and the permissions are there before the first environment warms itself.
  depends_on = [aws_iam_role_policy.secrets, aws_secretsmanager_secret_version.database]
}

resource "aws_apigatewayv2_api" "orders" {
  name          = var.function_name
  protocol_type = "HTTP"
  route_key     = "GET /orders/{id}"
  target        = aws_lambda_function.orders.arn
}

resource "aws_lambda_permission" "api" {
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.orders.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.orders.execution_arn}/*"
}

output "url" {
  description = "Where the API answers: GET /orders/{id}."
  value       = aws_apigatewayv2_api.orders.api_endpoint
}
