// The function app and what it stands on, in one resource group: identity, storage, database, monitoring, the app itself.
// The account of bronze exists already and is only read. Events come after the code: events.bicep; then alerts.bicep.
// README.md has the commands in order.
targetScope = 'resourceGroup'

@description('What the names of all resources begin with.')
@minLength(3)
@maxLength(11)
param name string = 'landfall'

@description('Region of all resources; best that of bronze, whose bytes are read from here.')
param location string = resourceGroup().location

@description('Storage account where source files land. Only ever read.')
param bronzeAccountName string

@description('Resource group of that account, in this subscription.')
param bronzeResourceGroup string = resourceGroup().name

@description('Container of that account where source files land.')
param bronzeContainer string = 'bronze'

@description('Memory of one instance. The combines of one instance take at most three quarters of it, less what the host takes.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 2048

@description('Most instances; fewer where the database has too few connections for so many. The plan may insist on 40 or more.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

@description('Most database connections of one instance.')
@minValue(2)
@maxValue(16)
param connectionsPerInstance int = 4

@description('Size of the database server.')
@allowed([
  'Standard_B2s'
  'Standard_B2ms'
  'Standard_D2ds_v5'
  'Standard_D4ds_v5'
  'Standard_D8ds_v5'
])
param databaseSku string = 'Standard_B2s'

@description('Name of the database server; empty: one is made up. For a server that was restored under another name.')
param databaseServerName string = ''

@description('Who administers the database and runs `landfall migrate`: an Entra principal, best a group.')
param databaseAdministrator {
  objectId: string
  name: string
  type: 'Group' | 'User' | 'ServicePrincipal'
}

@description('Addresses that may reach the database from outside Azure, for `landfall migrate`: each with name, start and end.')
param databaseClients array = []

@description('Subnet for the app\'s outgoing connections, delegated to Microsoft.App/environments; empty: none.')
param appSubnetId string = ''

@description('Subnet for the database, delegated to Microsoft.DBforPostgreSQL/flexibleServers; empty: a public address behind a firewall.')
param databaseSubnetId string = ''

@description('Private DNS zone of the database; needed with its subnet.')
param databasePrivateDnsZoneId string = ''

@description('Whether files that nobody declared are grouped by their names.')
param autoGroup bool = false

@description('Further containers that sources may lie in, as account/container with commas between them. Give the identity Storage Blob Data Reader there, and deploy events.bicep for each.')
param furtherSources string = ''

@description('Hosts on the web whose files may be validated and referenced over the API, with commas between them.')
param httpsHosts string = ''

@description('Address of TiTiler\'s xarray routes; empty: no item links to TiTiler.')
param titilerUrl string = ''

@description('Access-Control-Allow-Origin of the served Zarr; empty: no such header.')
param corsOrigin string = ''

@description('Address under which users reach the app; empty: its own.')
param publicUrl string = ''

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('On every resource.')
param tags object = {}

// Connections of each size of server (max_connections), and those of them that are not ours: fifteen are Azure's, the rest is
// for people, migrations and readers of the catalogue.
var maxConnections = {
  Standard_B2s: 429
  Standard_B2ms: 859
  Standard_D2ds_v5: 859
  Standard_D4ds_v5: 1718
  Standard_D8ds_v5: 3437
}
var reservedConnections = 35
var instances = min(maximumInstances, (maxConnections[databaseSku] - reservedConnections) / connectionsPerInstance)

var suffix = uniqueString(resourceGroup().id, name)
// Accounts are named in small letters and digits alone.
var plainName = toLower(replace(name, '-', ''))
var appName = '${name}-${suffix}'
var databaseName = 'landfall'
var silverContainer = 'silver'
var deadLetterContainer = 'dead-letters'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-app'
  location: location
  tags: tags
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    hostAccountName: take('${plainName}host${suffix}', 24)
    silverAccountName: take('${plainName}silver${suffix}', 24)
    silverContainer: silverContainer
    deadLetterContainer: deadLetterContainer
    principalId: identity.properties.principalId
    location: location
    tags: tags
  }
}

module bronze 'modules/container-role.bicep' = {
  name: '${name}-reads-bronze'
  scope: resourceGroup(bronzeResourceGroup)
  params: {
    accountName: bronzeAccountName
    containerName: bronzeContainer
    role: 'Storage Blob Data Reader'
    principalId: identity.properties.principalId
  }
}

module database 'modules/database.bicep' = {
  name: 'database'
  params: {
    serverName: empty(databaseServerName) ? toLower('${name}-${suffix}') : databaseServerName
    databaseName: databaseName
    skuName: databaseSku
    maxConnections: maxConnections[databaseSku]
    administrator: databaseAdministrator
    clients: databaseClients
    subnetId: databaseSubnetId
    privateDnsZoneId: databasePrivateDnsZoneId
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    name: name
    retentionDays: logRetentionDays
    principalId: identity.properties.principalId
    location: location
    tags: tags
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  params: {
    appName: appName
    planName: '${name}-plan'
    identityName: identity.name
    hostAccountName: storage.outputs.hostAccountName
    packageContainerUrl: storage.outputs.packageContainerUrl
    insightsName: monitoring.outputs.insightsName
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: instances
    subnetId: appSubnetId
    location: location
    tags: tags
    settings: {
      LANDFALL_SWEEP_SCHEDULE: '0 */5 * * * *'
      LANDFALL_BRONZE_ACCOUNT: bronzeAccountName
      LANDFALL_BRONZE_CONTAINER: bronzeContainer
      LANDFALL_SOURCES: furtherSources
      LANDFALL_SILVER_ACCOUNT: storage.outputs.silverAccountName
      LANDFALL_SILVER_CONTAINER: silverContainer
      LANDFALL_QUEUE_ACCOUNT: storage.outputs.hostAccountName
      LANDFALL_DEAD_LETTERS: '${storage.outputs.silverAccountName}/${deadLetterContainer}'
      LANDFALL_BLOB_ENDPOINT: 'https://{account}.blob.${environment().suffixes.storage}'
      LANDFALL_QUEUE_ENDPOINT: 'https://{account}.queue.${environment().suffixes.storage}'
      LANDFALL_CREDENTIAL: 'managed-identity'
      LANDFALL_CLIENT_ID: identity.properties.clientId
      LANDFALL_DATABASE_HOST: database.outputs.host
      LANDFALL_DATABASE_PORT: '5432'
      LANDFALL_DATABASE_NAME: databaseName
      LANDFALL_DATABASE_USER: identity.name
      LANDFALL_DATABASE_SSLMODE: 'verify-full'
      LANDFALL_DATABASE_AUTH: 'identity'
      LANDFALL_DATABASE_CONNECTIONS: string(connectionsPerInstance)
      LANDFALL_INSTANCES: string(instances)
      LANDFALL_AUTO_GROUP: autoGroup ? 'true' : 'false'
      LANDFALL_QUIET_PERIOD: 'PT10M'
      LANDFALL_SETTLE_PERIOD: 'PT0S'
      LANDFALL_LEASE: 'PT1M'
      LANDFALL_STUCK_AFTER: 'PT5M'
      LANDFALL_RECONCILE_EVERY: 'PT1H'
      LANDFALL_FILES_IN_FLIGHT: '8'
      LANDFALL_MEMORY_MB: string((instanceMemoryMB * 3 / 4) - 128)
      LANDFALL_STORES_MB: '64'
      LANDFALL_PUBLIC_URL: empty(publicUrl) ? 'https://${appName}.azurewebsites.net' : publicUrl
      LANDFALL_TITILER_URL: titilerUrl
      LANDFALL_OPEN_ACCESS: 'false'
      LANDFALL_CORS_ORIGIN: corsOrigin
      LANDFALL_HTTPS_HOSTS: httpsHosts
      LANDFALL_LOG: 'info'
    }
  }
}

output appName string = appName
output identityName string = identity.name
output hostAccountName string = storage.outputs.hostAccountName
output silverAccountName string = storage.outputs.silverAccountName
output deadLetterContainer string = deadLetterContainer
output databaseHost string = database.outputs.host
output databaseName string = databaseName
output insightsName string = monitoring.outputs.insightsName
output url string = 'https://${appName}.azurewebsites.net'
