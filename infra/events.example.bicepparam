// After the code is deployed; names as main.bicep gave them out.
using 'events.bicep'

param bronzeAccountName = 'climatebronze'
param bronzeContainer = 'bronze'
param appResourceGroup = 'landfall'
param appName = 'landfall-abcdefghijklm'
param deadLetterAccountName = 'landfallsilverabcdefghij'
