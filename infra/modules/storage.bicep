// Two accounts, so that the app's reach differs: the host's, with its locks, queues and the deployed package; and silver, with
// references and dead letters. No account takes keys.
param hostAccountName string
param silverAccountName string
param silverContainer string
param deadLetterContainer string

@description('Object id of the app\'s identity.')
param principalId string
param location string
param tags object

var roles = loadJsonContent('../roles.json')
var packageContainer = 'app-package'

// As the functions listen to them. The host makes the poison queues when it needs them; made here, doctor sees them empty.
var queues = [
  'reference-due'
  'reference-due-poison'
  'combine-due'
  'combine-due-poison'
]

resource host 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: hostAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource package 'containers' = {
      name: packageContainer
    }
  }

  resource queueService 'queueServices' = {
    name: 'default'

    resource queue 'queues' = [for queue in queues: {
      name: queue
    }]
  }
}

resource silver 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: silverAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_ZRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      // A reference that was deleted by mistake comes back without being made again.
      deleteRetentionPolicy: {
        enabled: true
        days: 14
      }
    }

    resource references 'containers' = {
      name: silverContainer
    }

    resource deadLetters 'containers' = {
      name: deadLetterContainer
    }
  }
}

// The host keeps locks and the state of timers as blobs, and takes leases on them.
resource hostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(host.id, 'app', roles['Storage Blob Data Owner'])
  scope: host
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Owner'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// The app sends, the triggers receive and delete, the host moves what fails to the poison queues.
resource hostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(host.id, 'app', roles['Storage Queue Data Contributor'])
  scope: host
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Queue Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource silverWritten 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(silver::blobs::references.id, 'app', roles['Storage Blob Data Contributor'])
  scope: silver::blobs::references
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// Sweep reads them, drives them again and moves them aside.
resource deadLettersTaken 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(silver::blobs::deadLetters.id, 'app', roles['Storage Blob Data Contributor'])
  scope: silver::blobs::deadLetters
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Storage Blob Data Contributor'])
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output hostAccountName string = host.name
output silverAccountName string = silver.name
output packageContainerUrl string = '${host.properties.primaryEndpoints.blob}${packageContainer}'
