// Last; names as main.bicep and events.bicep gave them out.
using 'alerts.bicep'

param appName = 'landfall-abcdefghijklm'
param insightsName = 'landfall-insights'
param hostAccountName = 'landfallhostabcdefghijkl'
param topicId = '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/climate-data/providers/Microsoft.EventGrid/systemTopics/climatebronze-events'
param emails = [
  'landfall-operators@example.org'
]
param documentation = 'https://example.org/landfall/infra/'
