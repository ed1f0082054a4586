// Has Kusto's own parser look at queries: each line of the input is {query, tables} as JSON, each line of the output its faults.
// `tables` gives each table its columns: {"traces": "(timestamp: datetime, message: string)"}.
'use strict';
const path = require('node:path');
const modules = path.join(process.argv[2], 'node_modules', '@kusto', 'language-service-next');
require(path.join(modules, 'bridge.min.js'));
require(path.join(modules, 'Kusto.Language.Bridge.min.js'));
const { Language } = globalThis.Kusto;

function globals(tables) {
  const symbols = Object.entries(tables).map(([name, columns]) => Language.Symbols.TableSymbol.From(columns).WithName(name));
  const database = new Language.Symbols.DatabaseSymbol.$ctor1('insights', symbols);
  return Language.GlobalState.Default.WithDatabase(database);
}

function faults({ query, tables }) {
  const found = Language.KustoCode.ParseAndAnalyze(query, globals(tables)).GetDiagnostics();
  const all = Array.from({ length: found.Count }, (_, at) => found.getItem(at));
  return all.map((one) => `${one.Code} at ${one.Start}: ${one.Message}`);
}

const lines = require('node:readline').createInterface({ input: process.stdin });
lines.on('line', (line) => process.stdout.write(`${JSON.stringify(faults(JSON.parse(line)))}\n`));
