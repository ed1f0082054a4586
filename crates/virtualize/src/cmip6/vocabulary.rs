//! What CMIP6's short names stand for. The tables are sorted by name, so a new row goes in its place.

/// Variable and what it is, in our words.
const VARIABLES: &[(&str, &str)] = &[
    ("areacella", "Area of atmospheric grid cells"),
    ("areacello", "Area of ocean grid cells"),
    ("clt", "Total cloud cover"),
    ("co2", "Mole fraction of carbon dioxide"),
    (
        "evspsbl",
        "Evaporation, including sublimation and transpiration",
    ),
    ("gpp", "Gross primary production of carbon by vegetation"),
    ("hfds", "Downward heat flux at the sea surface"),
    ("hfls", "Upward latent heat flux at the surface"),
    ("hfss", "Upward sensible heat flux at the surface"),
    ("hur", "Relative humidity"),
    ("hurs", "Relative humidity near the surface"),
    ("hus", "Specific humidity"),
    ("huss", "Specific humidity near the surface"),
    ("lai", "Leaf area index"),
    ("mlotst", "Depth of the ocean mixed layer"),
    ("mrro", "Total runoff"),
    ("mrso", "Total soil moisture content"),
    ("mrsos", "Moisture in the upper soil"),
    ("msftmz", "Ocean meridional overturning mass streamfunction"),
    ("npp", "Net primary production of carbon by vegetation"),
    ("o3", "Mole fraction of ozone"),
    ("od550aer", "Aerosol optical depth at 550 nm"),
    ("orog", "Altitude of the surface"),
    ("pr", "Precipitation"),
    ("prc", "Convective precipitation"),
    ("prsn", "Snowfall"),
    ("prw", "Water vapour path"),
    ("ps", "Air pressure at the surface"),
    ("psl", "Air pressure at mean sea level"),
    ("rlds", "Downwelling longwave radiation at the surface"),
    ("rlus", "Upwelling longwave radiation at the surface"),
    (
        "rlut",
        "Outgoing longwave radiation at the top of the atmosphere",
    ),
    ("rsds", "Downwelling shortwave radiation at the surface"),
    (
        "rsdt",
        "Incident shortwave radiation at the top of the atmosphere",
    ),
    ("rsus", "Upwelling shortwave radiation at the surface"),
    (
        "rsut",
        "Outgoing shortwave radiation at the top of the atmosphere",
    ),
    ("sfcWind", "Wind speed near the surface"),
    ("sfcWindmax", "Daily maximum wind speed near the surface"),
    ("sftlf", "Percentage of the grid cell occupied by land"),
    ("sftof", "Percentage of the grid cell occupied by sea"),
    ("siconc", "Sea ice area percentage"),
    ("sithick", "Sea ice thickness"),
    ("snd", "Snow depth"),
    ("snw", "Surface snow amount"),
    ("so", "Sea water salinity"),
    ("sos", "Sea surface salinity"),
    ("ta", "Air temperature"),
    ("tas", "Air temperature near the surface"),
    ("tasmax", "Daily maximum air temperature near the surface"),
    ("tasmin", "Daily minimum air temperature near the surface"),
    ("tauu", "Eastward wind stress at the surface"),
    ("tauv", "Northward wind stress at the surface"),
    ("thetao", "Sea water potential temperature"),
    ("tos", "Sea surface temperature"),
    ("ts", "Surface temperature"),
    ("tsl", "Soil temperature"),
    ("ua", "Eastward wind"),
    ("uas", "Eastward wind near the surface"),
    ("uo", "Sea water velocity along x"),
    ("va", "Northward wind"),
    ("vas", "Northward wind near the surface"),
    ("vo", "Sea water velocity along y"),
    ("wap", "Vertical pressure velocity"),
    ("wo", "Sea water velocity, upward"),
    ("zg", "Geopotential height"),
    ("zos", "Sea surface height above the geoid"),
];

/// Experiment and what it is, in our words.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("1pctCO2", "Carbon dioxide rising by 1 % a year"),
    ("abrupt-4xCO2", "Carbon dioxide abruptly quadrupled"),
    (
        "amip",
        "Atmosphere alone, with observed sea surface temperatures and sea ice",
    ),
    (
        "dcppA-hindcast",
        "Decadal hindcasts from observed initial states",
    ),
    ("dcppB-forecast", "Decadal forecasts in near-real time"),
    ("esm-hist", "Historical simulation with carbon emissions"),
    (
        "esm-piControl",
        "Pre-industrial control with carbon emissions",
    ),
    ("esm-ssp585", "Scenario SSP5-8.5 with carbon emissions"),
    (
        "highresSST-present",
        "High-resolution atmosphere with observed sea surface temperatures",
    ),
    (
        "hist-GHG",
        "Historical simulation with greenhouse gas forcing alone",
    ),
    (
        "hist-aer",
        "Historical simulation with aerosol forcing alone",
    ),
    (
        "hist-nat",
        "Historical simulation with natural forcing alone",
    ),
    ("historical", "Historical simulation, 1850 to 2014"),
    ("lgm", "Last glacial maximum, 21 000 years ago"),
    ("midHolocene", "Mid-Holocene, 6 000 years ago"),
    ("past1000", "Last millennium, 850 to 1849"),
    ("piControl", "Pre-industrial control"),
    (
        "ssp119",
        "Scenario SSP1-1.9: sustainability, very low emissions",
    ),
    ("ssp126", "Scenario SSP1-2.6: sustainability, low emissions"),
    (
        "ssp245",
        "Scenario SSP2-4.5: middle of the road, intermediate emissions",
    ),
    (
        "ssp370",
        "Scenario SSP3-7.0: regional rivalry, high emissions",
    ),
    (
        "ssp434",
        "Scenario SSP4-3.4: inequality, low to intermediate emissions",
    ),
    (
        "ssp460",
        "Scenario SSP4-6.0: inequality, intermediate to high emissions",
    ),
    (
        "ssp534-over",
        "Scenario SSP5-3.4: overshoot, strong mitigation from 2040",
    ),
    (
        "ssp585",
        "Scenario SSP5-8.5: fossil-fuelled development, very high emissions",
    ),
];

/// Table and the frequency of most of its variables.
const FREQUENCIES: &[(&str, &str)] = &[
    ("3hr", "3hr"),
    ("6hrLev", "6hrPt"),
    ("6hrPlev", "6hr"),
    ("6hrPlevPt", "6hrPt"),
    ("AERday", "day"),
    ("AERhr", "1hr"),
    ("AERmon", "mon"),
    ("AERmonZ", "mon"),
    ("Amon", "mon"),
    ("CF3hr", "3hr"),
    ("CFday", "day"),
    ("CFmon", "mon"),
    ("CFsubhr", "subhrPt"),
    ("E1hr", "1hr"),
    ("E1hrClimMon", "1hrCM"),
    ("E3hr", "3hr"),
    ("E3hrPt", "3hrPt"),
    ("E6hrZ", "6hr"),
    ("Eday", "day"),
    ("EdayZ", "day"),
    ("Efx", "fx"),
    ("Emon", "mon"),
    ("EmonZ", "mon"),
    ("Esubhr", "subhrPt"),
    ("Eyr", "yr"),
    ("IfxAnt", "fx"),
    ("IfxGre", "fx"),
    ("ImonAnt", "mon"),
    ("ImonGre", "mon"),
    ("IyrAnt", "yr"),
    ("IyrGre", "yr"),
    ("LImon", "mon"),
    ("Lmon", "mon"),
    ("Oclim", "monC"),
    ("Oday", "day"),
    ("Odec", "dec"),
    ("Ofx", "fx"),
    ("Omon", "mon"),
    ("Oyr", "yr"),
    ("SIday", "day"),
    ("SImon", "mon"),
    ("day", "day"),
    ("fx", "fx"),
];

/// What a variable is.
#[must_use]
pub fn variable(name: &str) -> Option<&'static str> {
    find(VARIABLES, name)
}

/// What an experiment is.
#[must_use]
pub fn experiment(name: &str) -> Option<&'static str> {
    find(EXPERIMENTS, name)
}

/// The frequency that a table stands for, in CMIP6's vocabulary.
#[must_use]
pub fn frequency(table: &str) -> Option<&'static str> {
    find(FREQUENCIES, table)
}

fn find(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    let at = table.binary_search_by_key(&name, |(key, _)| key).ok()?;
    table.get(at).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(VARIABLES)]
    #[case(EXPERIMENTS)]
    #[case(FREQUENCIES)]
    fn tables_are_sorted_so_that_rows_are_found(#[case] table: &[(&str, &str)]) {
        assert!(table.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[rstest]
    #[case("Amon", Some("mon"))]
    #[case("6hrLev", Some("6hrPt"))]
    #[case("fx", Some("fx"))]
    #[case("amon", None)]
    fn tables_have_a_frequency(#[case] table: &str, #[case] expected: Option<&str>) {
        assert_eq!(frequency(table), expected);
    }
}
