//! CMIP6 and DCPP file names, and names in general: an aid to grouping and to catalogues, never required.
//!
//! A CMIP6 name is `{variable}_{table}_{model}_{experiment}_{variant}_{grid}[_{start}-{end}].nc`. What is not
//! one is left to [`stem_without_dates`] and [`slug`]. Descriptions are rows of [`vocabulary`].

use std::collections::BTreeMap;

mod names;
pub mod vocabulary;

pub use names::{slug, stem_without_dates};

/// The parts of a CMIP6 file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cmip6Name {
    /// Variable, such as `tas`.
    pub variable: String,
    /// Table, such as `Amon`.
    pub table: String,
    /// Model (`source_id`), such as `MPI-ESM1-2-LR`.
    pub model: String,
    /// Experiment, such as `ssp585`.
    pub experiment: String,
    /// Start year of a hindcast (`sub_experiment_id`), such as `s1960`.
    pub sub_experiment: Option<String>,
    /// Variant, such as `r1i1p1f1`.
    pub variant: String,
    /// Grid label, such as `gn`.
    pub grid: String,
    /// First date of the file, as its digits; fixed fields have none.
    pub start: Option<String>,
    /// Last date of the file, with as many digits.
    pub end: Option<String>,
}

impl Cmip6Name {
    /// Reads a file name, with or without folder and ending; `None` for one that is not CMIP6's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.rsplit(['/', '\\']).next()?;
        let stem = [".nc", ".nc4", ".h5", ".hdf5", ".cdf"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        let mut parts = stem.split('_');
        let mut next = || parts.next();
        let (variable, table, model, experiment) = (next()?, next()?, next()?, next()?);
        let (member, grid, dates) = (next()?, next()?, next());
        let (sub_experiment, variant) = split_member(member)?;
        let words = [variable, table, model, experiment];
        if next().is_some() || !words.into_iter().all(is_word) || !is_grid(grid) {
            return None;
        }
        let dates = dates.map(parse_dates);
        let (start, end) = match dates {
            None => (None, None),
            Some(dates) => {
                dates.map(|(start, end)| (Some(start.to_owned()), Some(end.to_owned())))?
            }
        };
        Some(Self {
            variable: variable.to_owned(),
            table: table.to_owned(),
            model: model.to_owned(),
            experiment: experiment.to_owned(),
            sub_experiment: sub_experiment.map(str::to_owned),
            variant: variant.to_owned(),
            grid: grid.to_owned(),
            start,
            end,
        })
    }

    /// Everything but the time range: what the files of one series have in common.
    #[must_use]
    pub fn dataset_id(&self) -> String {
        let Self {
            variable,
            table,
            model,
            experiment,
            grid,
            ..
        } = self;
        format!(
            "{variable}_{table}_{model}_{experiment}_{}_{grid}",
            self.member()
        )
    }

    /// The variant, preceded by the start year of a hindcast, as it stands in the name.
    #[must_use]
    pub fn member(&self) -> String {
        match &self.sub_experiment {
            Some(start) => format!("{start}-{}", self.variant),
            None => self.variant.clone(),
        }
    }

    /// The sampling frequency, such as `mon`, that the table stands for.
    #[must_use]
    pub fn frequency(&self) -> Option<&'static str> {
        vocabulary::frequency(&self.table)
    }

    /// The fields of a catalogue item; descriptions and the frequency only where they are known.
    #[must_use]
    pub fn cmip6_fields(&self) -> BTreeMap<&'static str, String> {
        let known = [
            (
                "cmip6:variable_description",
                vocabulary::variable(&self.variable),
            ),
            ("cmip6:frequency", self.frequency()),
            (
                "cmip6:scenario_description",
                vocabulary::experiment(&self.experiment),
            ),
        ];
        let mut fields = BTreeMap::from([
            ("cmip6:variable", self.variable.clone()),
            ("cmip6:model", self.model.clone()),
            ("cmip6:scenario", self.experiment.clone()),
            ("cmip6:variant", self.member()),
            ("cmip6:grid", self.grid.clone()),
        ]);
        fields.extend(
            known
                .into_iter()
                .filter_map(|(key, text)| Some((key, text?.to_owned()))),
        );
        fields
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `r1i1p1f1`, with `s1960-` before it in DCPP.
fn split_member(member: &str) -> Option<(Option<&str>, &str)> {
    let (sub_experiment, variant) = match member.split_once('-') {
        Some((start, variant)) => (Some(start), variant),
        None => (None, member),
    };
    let is_start = |start: &str| {
        start
            .strip_prefix('s')
            .is_some_and(|year| year.len() == 4 && is_digits(year))
    };
    if !sub_experiment.is_none_or(is_start) {
        return None;
    }
    let mut rest = variant;
    for letter in ['r', 'i', 'p', 'f'] {
        let digits = rest.strip_prefix(letter)?;
        rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == digits.len() {
            return None;
        }
    }
    rest.is_empty().then_some((sub_experiment, variant))
}

/// `gn`, `gr`, `gm`, numbered or with the ending of an ice sheet or a zonal mean: `gr1`, `gna`, `gr2z`.
fn is_grid(text: &str) -> bool {
    let label = ["gn", "gr", "gm"]
        .iter()
        .find_map(|start| text.strip_prefix(start));
    let ending = label.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    matches!(ending, Some("" | "a" | "g" | "z"))
}

fn parse_dates(text: &str) -> Option<(&str, &str)> {
    let (start, end) = text.split_once('-')?;
    let valid = matches!(start.len(), 4 | 6 | 8 | 10 | 12 | 14) && start.len() == end.len();
    (valid && is_digits(start) && is_digits(end)).then_some((start, end))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_monthly_name_has_nine_parts() {
        let name =
            Cmip6Name::parse("a/b/tas_Amon_MPI-ESM1-2-LR_ssp585_r10i1p1f2_gn_201501-203412.nc")
                .unwrap();
        let expected = Cmip6Name {
            variable: "tas".into(),
            table: "Amon".into(),
            model: "MPI-ESM1-2-LR".into(),
            experiment: "ssp585".into(),
            sub_experiment: None,
            variant: "r10i1p1f2".into(),
            grid: "gn".into(),
            start: Some("201501".into()),
            end: Some("203412".into()),
        };
        assert_eq!(name, expected);
    }

    #[rstest]
    #[case::monthly(
        "tas_Amon_CanESM5_historical_r1i1p1f1_gn_185001-201412.nc",
        "tas_Amon_CanESM5_historical_r1i1p1f1_gn"
    )]
    #[case::fixed(
        "areacella_fx_CanESM5_piControl_r1i1p1f1_gr1.nc",
        "areacella_fx_CanESM5_piControl_r1i1p1f1_gr1"
    )]
    #[case::hindcast(
        "tas_Amon_EC-Earth3_dcppA-hindcast_s1960-r1i1p1f1_gr_196011-197010.nc",
        "tas_Amon_EC-Earth3_dcppA-hindcast_s1960-r1i1p1f1_gr"
    )]
    #[case::six_hourly(
        "ua_6hrLev_AWI-ESM-1-1-LR_historical_r1i1p1f1_gn_185001010600-185002010000.nc",
        "ua_6hrLev_AWI-ESM-1-1-LR_historical_r1i1p1f1_gn"
    )]
    #[case::yearly(
        "co2_Eyr_M_esm-hist_r1i1p1f1_gm_1850-2014",
        "co2_Eyr_M_esm-hist_r1i1p1f1_gm"
    )]
    fn a_dataset_id_has_no_dates(#[case] file: &str, #[case] id: &str) {
        assert_eq!(Cmip6Name::parse(file).unwrap().dataset_id(), id);
    }

    #[rstest]
    #[case::cordex(
        "tas_EUR-11_MPI-M-MPI-ESM-LR_rcp85_r1i1p1_CLMcom-CCLM4-8-17_v1_day_20060101-20101231.nc"
    )]
    #[case::cmip5("tas_Amon_MPI-ESM-LR_rcp85_r1i1p1_200601-210012.nc")]
    #[case::no_grid("tas_Amon_M_ssp585_r1i1p1f1_xx_201501-203412.nc")]
    #[case::odd_dates("tas_Amon_M_ssp585_r1i1p1f1_gn_20151-20341.nc")]
    #[case::unequal_dates("tas_Amon_M_ssp585_r1i1p1f1_gn_2015-203412.nc")]
    #[case::one_date("tas_Amon_M_ssp585_r1i1p1f1_gn_2015.nc")]
    #[case::empty_part("tas__M_ssp585_r1i1p1f1_gn.nc")]
    #[case::variant_without_a_number("tas_Amon_M_ssp585_r1i1pf1_gn.nc")]
    #[case::more("tas_Amon_M_ssp585_r1i1p1f1_gn_2015-2034_x.nc")]
    #[case::era5("era5_t2m_2020.nc")]
    #[case::empty("")]
    fn other_names_are_not_cmip6(#[case] file: &str) {
        assert_eq!(Cmip6Name::parse(file), None);
    }

    #[test]
    fn fields_leave_out_what_is_not_known() {
        let known = Cmip6Name::parse("tas_Amon_M_ssp585_s2000-r1i1p1f1_gn.nc")
            .unwrap()
            .cmip6_fields();
        let keys = [
            "cmip6:frequency",
            "cmip6:grid",
            "cmip6:model",
            "cmip6:scenario",
            "cmip6:scenario_description",
            "cmip6:variable",
            "cmip6:variable_description",
            "cmip6:variant",
        ];
        assert_eq!(known.keys().copied().collect::<Vec<_>>(), keys);
        assert_eq!(known["cmip6:frequency"], "mon");
        assert_eq!(known["cmip6:variant"], "s2000-r1i1p1f1");
        let unknown = Cmip6Name::parse("foo_Xyz_M_my-run_r1i1p1f1_gn.nc")
            .unwrap()
            .cmip6_fields();
        assert!(
            !unknown.contains_key("cmip6:frequency")
                && !unknown.contains_key("cmip6:variable_description")
        );
    }
}
