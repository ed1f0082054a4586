// PostgreSQL for the ledger and pgSTAC: Entra identities only, no passwords. The app connects to port 5432 directly: PgBouncer
// (port 6432) pools by transaction and loses prepared statements, and is left off.
param serverName string
param databaseName string
param skuName string

@description('What max_connections is set to; the instances of the app are counted against it.')
param maxConnections int
param administrator object
param clients array
param subnetId string
param privateDnsZoneId string
param location string
param tags object

// PostGIS and what the migration of pgSTAC creates besides.
var extensions = [
  'POSTGIS'
  'BTREE_GIST'
  'UNACCENT'
]

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: serverName
  location: location
  tags: tags
  sku: {
    name: skuName
    tier: startsWith(skuName, 'Standard_B') ? 'Burstable' : 'GeneralPurpose'
  }
  properties: {
    version: '16'
    createMode: 'Create'
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: 'Disabled'
      tenantId: subscription().tenantId
    }
    storage: {
      storageSizeGB: 64
      autoGrow: 'Enabled'
    }
    backup: {
      backupRetentionDays: 14
      geoRedundantBackup: 'Disabled'
    }
    highAvailability: {
      mode: 'Disabled'
    }
    network: empty(subnetId) ? {
      publicNetworkAccess: 'Enabled'
    } : {
      publicNetworkAccess: 'Disabled'
      delegatedSubnetResourceId: subnetId
      privateDnsZoneArmResourceId: privateDnsZoneId
    }
  }
}

resource administrators 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2024-08-01' = {
  parent: server
  name: administrator.objectId
  properties: {
    principalName: administrator.name
    principalType: administrator.type
    tenantId: subscription().tenantId
  }
}

var admitted = empty(subnetId) ? clients : []

// The server takes one change at a time.
resource allowedExtensions 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'azure.extensions'
  dependsOn: [
    administrators
  ]
  properties: {
    value: join(extensions, ',')
    source: 'user-override'
  }
}

resource connections 'Microsoft.DBforPostgreSQL/flexibleServers/configurations@2024-08-01' = {
  parent: server
  name: 'max_connections'
  dependsOn: [
    allowedExtensions
  ]
  properties: {
    value: string(maxConnections)
    source: 'user-override'
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers/databases@2024-08-01' = {
  parent: server
  name: databaseName
  dependsOn: [
    connections
  ]
  properties: {
    charset: 'UTF8'
    collation: 'en_US.utf8'
  }
}

// Without a network of its own the app comes from whatever address Azure gives it: the server lets all of Azure knock, and
// Entra decides who enters.
resource azure 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2024-08-01' = if (empty(subnetId)) {
  parent: server
  name: 'azure-services'
  dependsOn: [
    database
  ]
  properties: {
    startIpAddress: '0.0.0.0'
    endIpAddress: '0.0.0.0'
  }
}

@batchSize(1)
resource people 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2024-08-01' = [for client in admitted: {
  parent: server
  name: client.name
  dependsOn: [
    azure
  ]
  properties: {
    startIpAddress: client.start
    endIpAddress: client.end
  }
}]

output host string = server.properties.fullyQualifiedDomainName
