// The events of bronze, delivered to the function BlobEvent. Deployed into the resource group of bronze's account, after the code:
// Event Grid accepts only a function that is there.
targetScope = 'resourceGroup'

@description('Storage account where source files land.')
param bronzeAccountName string

@description('Container where they land.')
param bronzeContainer string = 'bronze'

@description('Folder below which they land, with a slash at its end; empty: anywhere in the container.')
param bronzeFolder string = ''

@description('Region of that account: its topic has to be there.')
param location string = resourceGroup().location

@description('System topic of that account. An account has one: where it has, its name, and it is given an identity.')
param topicName string = '${bronzeAccountName}-events'

@description('Name of the event subscription.')
param subscriptionName string = 'landfall'

@description('Resource group of the app.')
param appResourceGroup string

@description('The function app; output of main.bicep.')
param appName string

@description('Account of the container for dead letters; output silverAccountName of main.bicep.')
param deadLetterAccountName string

@description('Container for dead letters; output of main.bicep.')
param deadLetterContainer string = 'dead-letters'

@description('On every resource.')
param tags object = {}

// What the app takes for a source, by the end of its name; Event Grid ignores case here, as the app does.
var endings = [
  '.nc'
  '.nc4'
  '.cdf'
  '.h5'
  '.hdf5'
  '/landfall.json'
]

// Calls that announce an empty file before its bytes are written; what follows has an event of its own.
var placeholders = [
  'CreateFile'
  'SftpCreate'
]

resource bronze 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: bronzeAccountName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: topicName
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: bronze.id
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

module deadLetters 'modules/container-role.bicep' = {
  name: '${topicName}-writes-dead-letters'
  scope: resourceGroup(appResourceGroup)
  params: {
    accountName: deadLetterAccountName
    containerName: deadLetterContainer
    role: 'Storage Blob Data Contributor'
    principalId: topic.identity.principalId
  }
}

// Delivery to a function needs no identity: Event Grid is let in by the app's own system key, which it keeps for itself.
resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: subscriptionName
  dependsOn: [
    deadLetters
  ]
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'AzureFunction'
      properties: {
        resourceId: resourceId(appResourceGroup, 'Microsoft.Web/sites/functions', appName, 'BlobEvent')
        maxEventsPerBatch: 1
        preferredBatchSizeInKilobytes: 64
      }
    }
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
        'Microsoft.Storage.BlobDeleted'
        'Microsoft.Storage.BlobRenamed'
      ]
      subjectBeginsWith: '/blobServices/default/containers/${bronzeContainer}/blobs/${bronzeFolder}'
      isSubjectCaseSensitive: false
      advancedFilters: [
        {
          operatorType: 'StringEndsWith'
          key: 'subject'
          values: endings
        }
        {
          operatorType: 'StringNotIn'
          key: 'data.api'
          values: placeholders
        }
      ]
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'SystemAssigned'
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: resourceId(appResourceGroup, 'Microsoft.Storage/storageAccounts', deadLetterAccountName)
          blobContainerName: deadLetterContainer
        }
      }
    }
  }
}

output topicId string = topic.id
