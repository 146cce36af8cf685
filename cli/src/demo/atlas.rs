//! The places of the tz database, and the sphere that they lie on.
//!
//! The table is `cli/data/zone1970.tab`; `cli/data/README.md` says where it is from.

use std::f64::consts::TAU;
use std::fmt;

const TABLE: &str = include_str!("../../data/zone1970.tab");

/// The earth's mean radius, in kilometres.
const RADIUS: f64 = 6371.0088;

/// A place with a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// As the tz database writes it: `Europe/Berlin`.
    pub(crate) name: &'static str,
    pub(crate) point: Point,
}

/// A point of the sphere, in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    latitude: f64,
    longitude: f64,
}

/// All places, in the table's order.
pub(crate) fn places() -> Vec<Place> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(place).collect()
}

fn place(line: &'static str) -> Option<Place> {
    let mut columns = line.split('\t').skip(1);
    let point = columns.next().and_then(Point::parse)?;
    Some(Place { name: columns.next()?, point })
}

impl Point {
    /// Reads ISO 6709: `±DDMM±DDDMM` or `±DDMMSS±DDDMMSS`.
    fn parse(text: &str) -> Option<Self> {
        let (latitude, longitude) = text.split_at(1 + text.get(1..)?.find(['+', '-'])?);
        let angle = |text: &str, degrees: usize| {
            let (sign, digits) = text.split_at_checked(1)?;
            let mut degree: f64 = digits.get(..degrees)?.parse().ok()?;
            for (part, place) in [60.0, 3600.0].iter().zip([degrees, degrees + 2]) {
                degree += match digits.get(place..place + 2) {
                    Some(two) => two.parse::<f64>().ok()? / part,
                    None => 0.0,
                };
            }
            Some(f64::to_radians(if sign == "-" { -degree } else { degree }))
        };
        Some(Self { latitude: angle(latitude, 2)?, longitude: angle(longitude, 3)? })
    }

    /// The angle between two points, seen from the earth's centre.
    fn angle(self, other: Self) -> f64 {
        let half = |x: f64| (x / 2.0).sin().powi(2);
        let h = half(other.latitude - self.latitude)
            + self.latitude.cos() * other.latitude.cos() * half(other.longitude - self.longitude);
        2.0 * h.sqrt().min(1.0).asin()
    }

    /// The great-circle distance, in kilometres.
    pub(crate) fn distance(self, other: Self) -> f64 {
        RADIUS * self.angle(other)
    }

    /// The course on which a great circle to `other` begins, in degrees from north by east.
    pub(crate) fn course(self, other: Self) -> f64 {
        let east = other.longitude - self.longitude;
        let y = east.sin() * other.latitude.cos();
        let x = self.latitude.cos() * other.latitude.sin()
            - self.latitude.sin() * other.latitude.cos() * east.cos();
        y.atan2(x).rem_euclid(TAU).to_degrees()
    }

    /// The point after a share of the way to `other`, from 0 to 1.
    pub(crate) fn towards(self, other: Self, share: f64) -> Self {
        let angle = self.angle(other);
        if angle == 0.0 {
            return self;
        }
        let (a, b) = (((1.0 - share) * angle).sin(), (share * angle).sin());
        let sum = |f: fn(Self) -> f64| a * f(self) + b * f(other);
        let (x, y, z) = (
            sum(|p| p.latitude.cos() * p.longitude.cos()),
            sum(|p| p.latitude.cos() * p.longitude.sin()),
            sum(|p| p.latitude.sin()),
        );
        Self { latitude: z.atan2(x.hypot(y)), longitude: y.atan2(x) }
    }
}

/// In degrees, with two decimals: `+52.50+013.37`.
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (latitude, longitude) = (self.latitude.to_degrees(), self.longitude.to_degrees());
        write!(f, "{latitude:+06.2}{longitude:+07.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str) -> Point {
        places().into_iter().find(|place| place.name == name).unwrap().point
    }

    #[test]
    fn every_line_of_the_table_is_a_place() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!((places().len(), lines), (312, 312));
        assert_eq!(point("Europe/Berlin").to_string(), "+52.50+013.37");
        // With seconds: +404251-0740023.
        assert_eq!(point("America/New_York").to_string(), "+40.71-074.01");
        assert_eq!(Point::parse("+5230"), None);
        assert_eq!(Point::parse("+52é0+01322"), None);
    }

    #[test]
    fn distances_and_courses_are_those_of_the_sphere() {
        let (berlin, tokyo) = (point("Europe/Berlin"), point("Asia/Tokyo"));
        assert!((berlin.distance(tokyo) - 8919.0).abs() < 10.0, "{}", berlin.distance(tokyo));
        assert!((berlin.course(tokyo) - 41.6).abs() < 0.5, "{}", berlin.course(tokyo));
        let way = berlin.towards(tokyo, 0.25);
        assert!((4.0 * berlin.distance(way) - berlin.distance(tokyo)).abs() < 1e-6);
        assert_eq!(berlin.towards(berlin, 0.5), berlin);
    }
}
