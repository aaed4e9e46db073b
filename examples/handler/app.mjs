// AWS CDK: the function, its API, secret, key and the grants of its role. From this folder:
//
//   CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -tags lambda.norpc -o build/bootstrap .
//   npm install aws-cdk-lib constructs aws-cdk
//   npx cdk deploy --app 'node app.mjs'                   # without a signing key: makes the key and the secret
//   aws ssm put-parameter --name /orders/api-key --type SecureString --key-id alias/orders --value file://api-key
//   head -c 32 /dev/urandom >signing-key                  # the plaintext; delete both files when the function has them
//   aws kms encrypt --key-id alias/orders --encryption-context LambdaFunctionName=orders \
//     --plaintext fileb://signing-key --query CiphertextBlob --output text
//   npx cdk deploy --app 'node app.mjs' -c signingKey=<that>   # makes the function
//
// For x86-64 build with GOARCH=amd64 and write X86_64 below.
import { App, CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as ssm from 'aws-cdk-lib/aws-ssm';

const app = new App();
const stack = new Stack(app, 'Orders');

const key = new kms.Key(stack, 'Key', { alias: 'orders', enableKeyRotation: true });
const database = new secretsmanager.Secret(stack, 'Database', {
  encryptionKey: key,
  generateSecretString: {
    secretStringTemplate: JSON.stringify({ username: 'orders', host: 'db.internal', port: 5432, dbname: 'orders' }),
    generateStringKey: 'password',
  },
});
// CloudFormation cannot make a SecureString, so the parameter is made by hand.
const apiKey = ssm.StringParameter.fromSecureStringParameterAttributes(stack, 'ApiKey', {
  parameterName: '/orders/api-key',
  encryptionKey: key,
});

const signingKey = app.node.tryGetContext('signingKey'); // ciphertext, so it need not be hidden
if (signingKey) {
  const orders = new lambda.Function(stack, 'Function', {
    functionName: 'orders',
    runtime: lambda.Runtime.PROVIDED_AL2023,
    architecture: lambda.Architecture.ARM_64,
    memorySize: 256,
    // An init that crashed runs again under this timeout: it must be longer than a warm, which takes 2 seconds at most.
    timeout: Duration.seconds(10),
    code: lambda.Code.fromAsset('build'),
    handler: 'bootstrap',
    environment: {
      DATABASE: `sm://${database.secretArn}`,
      API_KEY: `ssm://${apiKey.parameterName}`,
      SIGNING_KEY: signingKey,
    },
  });
  database.grantRead(orders);
  apiKey.grantRead(orders); // allows all use of the key for decryption: SIGNING_KEY needs no grant of its own
  const api = new apigateway.HttpApi(stack, 'Api');
  api.addRoutes({
    path: '/orders/{id}',
    methods: [apigateway.HttpMethod.GET],
    integration: new HttpLambdaIntegration('Integration', orders),
  });
  new CfnOutput(stack, 'Url', { value: api.apiEndpoint });
}
