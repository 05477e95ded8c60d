//! The middle of repeated measurements.

/// The middle value, or the mean of the two in the middle.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values[middle - 1] + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn one_outlier_does_not_move_it() {
        assert_eq!(median([8.0, 4.0, 100.0]), Some(8.0));
        assert_eq!(median([8.0, 4.0]), Some(6.0));
        assert_eq!(median([]), None);
    }
}
