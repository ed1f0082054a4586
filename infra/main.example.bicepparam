// What has to be said of one deployment: copy it, and name your own. Nothing in it is secret.
using 'main.bicep'

param name = 'landfall'
param bronzeAccountName = 'climatebronze'
param bronzeResourceGroup = 'climate-data'
param bronzeContainer = 'bronze'
param instanceMemoryMB = 2048
param maximumInstances = 40
param connectionsPerInstance = 4
param databaseSku = 'Standard_B2s'
param databaseAdministrator = {
  objectId: '00000000-0000-0000-0000-000000000001'
  name: 'landfall-operators'
  type: 'Group'
}
param databaseClients = [
  {
    name: 'operator'
    start: '203.0.113.7'
    end: '203.0.113.7'
  }
]
param tags = {
  service: 'landfall'
}
