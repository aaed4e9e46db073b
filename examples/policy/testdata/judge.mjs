// Reads [{policy, action, resource, context}, …] and writes [true, false, …]: is it allowed? Keys have the default key
// policy, which leaves it to the account's IAM policies.
//
// Of keys with a name in them the judge knows those with a slash before the name only: kms:EncryptionContext:NAME goes to
// it as aws:RequestTag/NAME, in policies and requests alike, which is a single string too.
import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const chunk of process.stdin) text += chunk
const answers = []
for (const r of JSON.parse(text.replaceAll('kms:EncryptionContext:', 'aws:RequestTag/'))) {
  const account = r.resource.split(':')[4] || '123456789012'
  const root = { AWS: `arn:aws:iam::${account}:root` }
  const keyPolicy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: root, Action: 'kms:*', Resource: '*' }] }
  const response = await runSimulation({
    request: {
      action: r.action,
      principal: 'arn:aws:iam::123456789012:role/function',
      resource: { resource: r.resource, accountId: account },
      contextVariables: r.context || {},
    },
    identityPolicies: [{ name: 'p', policy: r.policy }],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    ...(r.action.startsWith('kms:') ? { resourcePolicy: keyPolicy } : {}),
  }, {})
  if (response.resultType === 'error') throw new Error(JSON.stringify([r, response.errors]))
  answers.push(response.overallResult === 'Allowed')
}
process.stdout.write(JSON.stringify(answers))
