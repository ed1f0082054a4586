// What wakes somebody, and the workbook. Deployed into the resource group of the app, after events.bicep.
// Each rule names the runbook that says what to do; its query is a file of alerts/, checked against the app's own log lines.
targetScope = 'resourceGroup'

@description('The same as in main.bicep.')
param name string = 'landfall'
param location string = resourceGroup().location

@description('The function app; output of main.bicep.')
param appName string

@description('Application Insights; output of main.bicep.')
param insightsName string

@description('Storage account of the queues; output of main.bicep.')
param hostAccountName string

@description('System topic of bronze; output of events.bicep.')
param topicId string

@description('The same as in main.bicep.')
param instanceMemoryMB int = 2048

@description('Who is written to.')
param emails array

@description('Where the runbooks can be read: the address before runbooks/.')
param documentation string

@description('Address whose readiness is asked for.')
param url string = 'https://${appName}.azurewebsites.net'

@description('Where it is asked from; empty: nobody asks, and the app may scale to nothing between events.')
param probeLocations array = [
  'emea-nl-ams-azr'
  'emea-gb-db3-azr'
]

@description('On every resource.')
param tags object = {}

var memoryBytes = instanceMemoryMB * 1048576
var memoryLimit = memoryBytes / 5 * 4

// Minutes of logs that each query looks at; those that look back further say so themselves.
var rules = [
  {
    name: 'failure-rate'
    title: 'More than 20 % of what ended in an hour failed'
    severity: 2
    window: 'PT1H'
    query: loadTextContent('alerts/failure-rate.kql')
    runbook: 'failed-job.md'
  }
  {
    name: 'combine-slow'
    title: 'A combine takes longer than 5 minutes'
    severity: 3
    window: 'PT1H'
    query: loadTextContent('alerts/combine-slow.kql')
    runbook: 'job-stuck.md'
  }
  {
    name: 'stuck'
    title: 'Something has come to no end for 30 minutes'
    severity: 2
    window: 'PT1H'
    query: loadTextContent('alerts/stuck.kql')
    runbook: 'job-stuck.md'
  }
  {
    name: 'restart-during-run'
    title: 'The app was restarted while it worked'
    severity: 2
    window: 'PT1H'
    query: loadTextContent('alerts/restart-during-run.kql')
    runbook: 'job-stuck.md'
  }
  {
    name: 'poison'
    title: 'A message failed too often or was refused'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('alerts/poison.kql')
    runbook: 'dead-letters.md'
  }
  {
    name: 'memory-budget'
    title: 'A combine took more than 80 % of the memory, or more than it may'
    severity: 2
    window: 'PT15M'
    query: replace(loadTextContent('alerts/memory-budget.kql'), '__MEMORY_BYTES__', string(memoryBytes))
    runbook: 'memory.md'
  }
  {
    name: 'source-changed'
    title: 'A file of an approved Release has changed'
    severity: 2
    window: 'PT15M'
    query: loadTextContent('alerts/source-changed.kql')
    runbook: 'source-changed.md'
  }
  {
    name: 'not-ready'
    title: 'The app says that it is not ready'
    severity: 1
    window: 'PT15M'
    query: loadTextContent('alerts/not-ready.kql')
    runbook: 'not-ready.md'
  }
  {
    name: 'sweep-silent'
    title: 'Sweep has not run for 30 minutes'
    severity: 2
    window: 'PT30M'
    query: loadTextContent('alerts/sweep-silent.kql')
    runbook: 'not-ready.md'
  }
]

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: appName
}

resource host 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostAccountName
}

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${name}-people'
  location: 'Global'
  tags: tags
  properties: {
    groupShortName: take(name, 12)
    enabled: true
    emailReceivers: [for email in emails: {
      name: email
      emailAddress: email
      useCommonAlertSchema: true
    }]
  }
}

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${name}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: ${rule.title}'
    description: 'What to do: ${documentation}runbooks/${rule.runbook}'
    severity: rule.severity
    enabled: true
    scopes: [
      insights.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: rule.window
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        people.id
      ]
      customProperties: {
        runbook: '${documentation}runbooks/${rule.runbook}'
      }
    }
  }
}]

var givenUp = [
  'DeadLetteredCount'
  'DroppedEventCount'
]

// Counted by Event Grid itself, so that it is told even where the app is down.
resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = [for metric in givenUp: {
  name: '${name}-${metric}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Grid gave up an event. What to do: ${documentation}runbooks/dead-letters.md'
    severity: 2
    enabled: true
    scopes: [
      topicId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: metric
          metricNamespace: 'Microsoft.EventGrid/systemTopics'
          metricName: metric
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}]

resource memory 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-memory'
  location: 'global'
  tags: tags
  properties: {
    description: 'An instance takes more than 80 % of its memory. What to do: ${documentation}runbooks/memory.md'
    severity: 2
    enabled: true
    scopes: [
      app.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'MemoryWorkingSet'
          metricNamespace: 'Microsoft.Web/sites'
          metricName: 'MemoryWorkingSet'
          dimensions: [
            {
              name: 'Instance'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          timeAggregation: 'Average'
          operator: 'GreaterThan'
          threshold: memoryLimit
        }
      ]
    }
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}

resource probe 'Microsoft.Insights/webtests@2022-06-15' = if (!empty(probeLocations)) {
  name: '${name}-readyz'
  location: location
  tags: union(tags, {
    'hidden-link:${insights.id}': 'Resource'
  })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: '${name}-readyz'
    Name: '${name}-readyz'
    Description: 'Whether the app is ready: configuration, database, storage, decoder.'
    Enabled: true
    Frequency: 300
    Timeout: 60
    Kind: 'standard'
    RetryEnabled: true
    Locations: [for place in probeLocations: {
      Id: place
    }]
    Request: {
      RequestUrl: '${url}/api/readyz'
      HttpVerb: 'GET'
      ParseDependentRequests: false
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
      SSLCertRemainingLifetimeCheck: 14
    }
  }
}

resource notReady 'Microsoft.Insights/metricAlerts@2018-03-01' = if (!empty(probeLocations)) {
  name: '${name}-readyz'
  location: 'global'
  tags: union(tags, {
    'hidden-link:${insights.id}': 'Resource'
    'hidden-link:${probe.id}': 'Resource'
  })
  properties: {
    description: 'GET /api/readyz is not answered with 200. What to do: ${documentation}runbooks/not-ready.md'
    severity: 1
    enabled: true
    scopes: [
      probe.id
      insights.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: probe.id
      componentId: insights.id
      failedLocationCount: min(2, length(probeLocations))
    }
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: '${name}: how it does'
    category: 'workbook'
    sourceId: insights.id
    version: 'Notebook/1.0'
    serializedData: replace(replace(loadTextContent('workbook.json'), '__INSIGHTS__', insights.id), '__HOST_ACCOUNT__', host.id)
  }
}
