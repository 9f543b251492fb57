/* The length of a vector, for binaries that must start on glibc 2.34; see build.rs. */
#include <math.h>

double hypot(double x, double y) {
    /* An infinite side makes an infinite length, whatever the other is. */
    if (isinf(x) || isinf(y)) {
        return INFINITY;
    }
    /* A long double holds the square of every double. */
    long double a = x, b = y;
    return (double)sqrtl(a * a + b * b);
}
