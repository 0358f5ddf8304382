//! The fit: which non-negative prices explain what was measured, with the least relative error and deaf to outliers.

/// What is paid for: once a load, a GB of the files, and a GB that is only on disk, by each [`crate::residency::swap::Way`].
pub(super) const PRICES: usize = 5;

/// One measurement: so much of each, and what it took in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub amounts: [f64; PRICES],
    pub seconds: f64,
    /// How much it counts.
    pub weight: f64,
}

/// Rounds of reweighting; the prices move less than the noise after a few.
const ROUNDS: usize = 12;
/// A relative error below this counts as this: noise is not to be fitted.
const NOISE: f64 = 0.03;
/// Between explanations that fit equally well: small prices, and rather one for bytes than one for the load itself.
const RIDGE: [f64; PRICES] = [1e-2, 1e-3, 1e-3, 1e-3, 1e-3];

/// The prices in seconds; zero where nothing was measured.
pub(super) fn prices(points: &[Point]) -> [f64; PRICES] {
    let mut prices = [0.0; PRICES];
    let points: Vec<Point> = points.iter().copied().filter(|point| point.seconds > 0.0).collect();
    if points.is_empty() {
        return prices;
    }
    // In units of the mean: the ridge must mean the same for models of 1 GB and of 100 GB.
    let mean = |of: fn(&Point) -> f64| {
        points.iter().map(|point| of(point) * point.weight).sum::<f64>()
            / points.iter().map(|point| point.weight).sum::<f64>()
    };
    let (second, gigabyte) = (mean(|point| point.seconds), mean(|point| point.amounts[1]).max(1e-9));
    let mut units = [gigabyte; PRICES];
    units[0] = 1.0;
    let scaled = |point: &Point| -> ([f64; PRICES], f64) {
        (std::array::from_fn(|at| point.amounts[at] / units[at]), point.seconds / second)
    };
    for round in 0..ROUNDS {
        let (mut matrix, mut right) = ([[0.0; PRICES]; PRICES], [0.0; PRICES]);
        for point in &points {
            let (amounts, seconds) = scaled(point);
            let said: f64 = amounts.iter().zip(&prices).map(|(amount, price)| amount * price).sum();
            // Least squares at first; then each counts by how far off it was, which makes them absolute errors.
            let off = if round == 0 { 1.0 } else { ((said - seconds).abs() / seconds).max(NOISE) };
            let weight = point.weight / (seconds * seconds * off);
            for row in 0..PRICES {
                right[row] += weight * amounts[row] * seconds;
                for column in 0..PRICES {
                    matrix[row][column] += weight * amounts[row] * amounts[column];
                }
            }
        }
        for (at, ridge) in RIDGE.into_iter().enumerate() {
            matrix[at][at] += ridge;
        }
        prices = least(&matrix, &right);
    }
    std::array::from_fn(|at| prices[at] * second / units[at])
}

/// The non-negative solution with the least error: of the solutions with any of the prices at zero, the best one that
/// has none below.
fn least(matrix: &[[f64; PRICES]; PRICES], right: &[f64; PRICES]) -> [f64; PRICES] {
    let mut best = ([0.0; PRICES], 0.0);
    for set in 1_u32..1 << PRICES {
        let free: Vec<usize> = (0..PRICES).filter(|at| set & (1 << at) != 0).collect();
        let Some(solution) = solve(matrix, right, &free) else { continue };
        if solution.iter().any(|price| *price < 0.0 || !price.is_finite()) {
            continue;
        }
        let error: f64 = (0..PRICES)
            .map(|row| {
                let product: f64 = (0..PRICES).map(|column| matrix[row][column] * solution[column]).sum();
                solution[row] * (product - 2.0 * right[row])
            })
            .sum();
        if error < best.1 {
            best = (solution, error);
        }
    }
    best.0
}

/// Gauss with the largest pivot, for the prices in `free`; the others are zero.
fn solve(matrix: &[[f64; PRICES]; PRICES], right: &[f64; PRICES], free: &[usize]) -> Option<[f64; PRICES]> {
    let mut rows: Vec<Vec<f64>> = free
        .iter()
        .map(|row| free.iter().map(|column| matrix[*row][*column]).chain([right[*row]]).collect())
        .collect();
    for step in 0..rows.len() {
        let pivot =
            (step..rows.len()).max_by(|a, b| rows[*a][step].abs().total_cmp(&rows[*b][step].abs()))?;
        rows.swap(step, pivot);
        if rows[step][step].abs() < 1e-12 {
            return None;
        }
        let (above, below) = rows.split_at_mut(step + 1);
        let pivot = &above[step];
        for row in below {
            let factor = row[step] / pivot[step];
            for (cell, above) in row.iter_mut().zip(pivot).skip(step) {
                *cell -= factor * above;
            }
        }
    }
    let mut solution = [0.0; PRICES];
    for step in (0..rows.len()).rev() {
        let known: f64 = (step + 1..rows.len()).map(|at| rows[step][at] * solution[free[at]]).sum();
        solution[free[step]] = (rows[step][free.len()] - known) / rows[step][step];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(whole: f64, disk: f64, seconds: f64) -> Point {
        Point { amounts: [1.0, whole, disk, 0.0, 0.0], seconds, weight: 1.0 }
    }

    #[test]
    fn exact_prices_are_found_again() {
        let law = |whole: f64, disk: f64| 0.2 + 0.3 * whole + 0.9 * disk;
        let points: Vec<Point> = [(1.0, 0.0), (2.0, 0.0), (4.0, 4.0), (9.0, 3.0), (9.0, 0.0)]
            .map(|(whole, disk)| point(whole, disk, law(whole, disk)))
            .into();
        let found = prices(&points);
        for (found, paid) in found.iter().zip([0.2, 0.3, 0.9, 0.0, 0.0]) {
            assert!((found - paid).abs() < 0.02, "{found} for {paid}");
        }
    }

    #[test]
    fn an_outlier_moves_nothing() {
        let mut points: Vec<Point> =
            (1..8).map(|gb| point(f64::from(gb), 0.0, 0.5 * f64::from(gb))).collect();
        points.push(point(4.0, 0.0, 60.0));
        let found = prices(&points);
        let said = found[0] + 4.0 * found[1];
        assert!((said - 2.0).abs() < 0.1, "{said}");
    }

    #[test]
    fn no_price_is_below_zero_though_the_noise_asks_for_it() {
        let points = [point(1.0, 0.0, 3.0), point(2.0, 0.0, 2.0), point(3.0, 3.0, 1.0)];
        assert!(prices(&points).iter().all(|price| *price >= 0.0));
        assert!(prices(&[]).iter().all(|price| *price == 0.0));
    }
}
