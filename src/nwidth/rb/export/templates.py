"""The C99 text that is the same for every model. `@name@` becomes the model's name, `@NAME@` the prefix of its macros.

Rules: every loop has a bound that is constant or from a constant table; no recursion, no allocation, no global that is
written, no jump; every block in braces; each function with one exit.
"""

INTERFACE = """\
#ifndef @NAME@_INTERFACE
#define @NAME@_INTERFACE

#define @NAME@_PARAMETERS @P@
#define @NAME@_OUTPUTS @S@
#define @NAME@_MODES @n@
@positions@

/* status: a sum of these; 0 is an answer inside the ranges with a finite limit */
#define @NAME@_OUTSIDE 1U        /* a parameter is outside its range: see range[] (a finite limit still holds) */
#define @NAME@_NOT_FINITE 2U     /* a parameter is not a finite number */
#define @NAME@_NO_COEFFICIENT 4U /* a formula has no finite value at these parameters */
#define @NAME@_NOT_STABLE 8U     /* the stability constant is not above zero: no limit */
#define @NAME@_NOT_DEFINITE 16U  /* the reduced matrix is not positive definite to rounding */
#define @NAME@_NO_LIMIT 32U      /* a limit is infinite: do not use the values */

typedef struct {
@members@
    double bound;                               /* of the whole field, energy norm */
    signed char range[@NAME@_PARAMETERS];       /* -1 below the range, 0 inside, 1 above or not a number */
    unsigned int status;
} @name@_result;

#ifdef __cplusplus
extern "C" {
#endif
/* Returns status; writes every member of result. */
unsigned int @name@_predict(const double mu[@NAME@_PARAMETERS], @name@_result *result);
#ifdef __cplusplus
}
#endif

#endif
"""

GUARDS = """\
#ifndef @NAME@_INTERFACE_ONLY

#include <float.h>
#include <math.h>
#include <stddef.h>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && (__FINITE_MATH_ONLY__ > 0))
#error "compile without -ffast-math: the limits count every rounding, and infinite limits must stay infinite"
#endif
#if (FLT_RADIX != 2) || (DBL_MANT_DIG != 53) || (DBL_MAX_EXP != 1024)
#error "double must be the 64-bit format of IEEE 754"
#endif
#if (FLT_EVAL_METHOD != 0) && (FLT_EVAL_METHOD != 1)
#error "double must be evaluated in double precision (on x86: -msse2 -mfpmath=sse)"
#endif
"""

#: The sizes of one family of functions.
SIZES = """\
#define N_ @n@U
#define K_ @K@U
#define M_ @M@U
#define T_ @T@U
#define QA_ @QA@U
#define QF_ @QF@U
#define FIXED_ @fixed@U
"""

NO_SIZES = """\
#undef N_
#undef K_
#undef M_
#undef T_
#undef QA_
#undef QF_
#undef FIXED_
"""

LINEAR_ALGEBRA = """\
/* sum over theta of the reduced matrices: packed lower triangle, entry (i, j) at i (i + 1) / 2 + j */
static void @name@_assemble(const double theta[QA_], double a[T_])
{
    for (size_t t = 0U; t < T_; ++t) {
        double sum = 0.0;
        for (size_t q = 0U; q < QA_; ++q) {
            sum += theta[q] * @name@_matrices[(t * QA_) + q];
        }
        a[t] = sum;
    }
}

static void @name@_load(const double phi[QF_], double f[N_])
{
    for (size_t i = 0U; i < N_; ++i) {
        double sum = 0.0;
        for (size_t q = 0U; q < QF_; ++q) {
            sum += phi[q] * @name@_loads[(q * N_) + i];
        }
        f[i] = sum;
    }
}

/* Cholesky factor in place, reciprocals on its diagonal; a pivot that is not above zero is replaced and reported */
static unsigned int @name@_factorise(double a[T_])
{
    unsigned int status = 0U;
    for (size_t i = 0U; i < N_; ++i) {
        double *const row = &a[(i * (i + 1U)) / 2U];
        double pivot;
        for (size_t j = 0U; j < i; ++j) {
            const double *const other = &a[(j * (j + 1U)) / 2U];
            double sum = row[j];
            for (size_t k = 0U; k < j; ++k) {
                sum -= row[k] * other[k];
            }
            row[j] = sum * other[j];
        }
        pivot = row[i];
        for (size_t k = 0U; k < i; ++k) {
            pivot -= row[k] * row[k];
        }
        if (!((pivot > 0.0) && (pivot <= DBL_MAX))) {
            status = @NAME@_NOT_DEFINITE;
            pivot = 1.0;
        }
        row[i] = 1.0 / sqrt(pivot);
    }
    return status;
}

/* solve with the factor, in place */
static void @name@_substitute(const double a[T_], double x[N_])
{
    for (size_t i = 0U; i < N_; ++i) {
        const double *const row = &a[(i * (i + 1U)) / 2U];
        double sum = x[i];
        for (size_t k = 0U; k < i; ++k) {
            sum -= row[k] * x[k];
        }
        x[i] = sum * row[i];
    }
    for (size_t back = N_; back > 0U; --back) {
        const size_t i = back - 1U;
        const double *const row = &a[(i * (i + 1U)) / 2U];
        const double value = x[i] * row[i];
        x[i] = value;
        for (size_t k = 0U; k < i; ++k) {
            x[k] -= row[k] * value;
        }
    }
}
"""

NORM = """\
/* the coordinates that belong to the modes: -theta_q c_j, modes slow */
static void @name@_combine(const double theta[QA_], const double c[N_], double z[K_])
{
    for (size_t j = 0U; j < N_; ++j) {
        for (size_t q = 0U; q < QA_; ++q) {
            z[FIXED_ + (j * QA_) + q] = -theta[q] * c[j];
        }
    }
}

/* dual norm of sum z_k r_k in the orthonormal basis of the residual, without its last factor; noise: its rounding */
static double @name@_norm(const double z[K_], double *noise)
{
    double y[M_];
    double sum = 0.0;
    double weighted = 0.0;
    size_t at = 0U;
    for (size_t m = 0U; m < M_; ++m) {
        y[m] = 0.0;
    }
    for (size_t k = 0U; k < K_; ++k) {
        const size_t length = @name@_lengths[k];
        for (size_t m = 0U; m < length; ++m) {
            y[m] += z[k] * @name@_rows[at + m];
        }
        at += length;
        weighted += fabs(z[k]) * @name@_weights[k];
    }
    for (size_t m = 0U; m < M_; ++m) {
        sum += y[m] * y[m];
    }
    *noise = weighted;
    return sqrt(sum);
}
"""

ENERGY = """\
/* bound in the energy norm: dual norm of the residual over the root of the stability constant, and rounding */
static double @name@_energy(const double z[K_], double root)
{
    double noise = 0.0;
    const double norm = @name@_norm(z, &noise);
    return ((norm * @gain@ / root) + ((noise / root) * @one@)) * @one@ + DBL_MIN;
}

/* rounding in a field that is put together from the coefficients */
static double @name@_reconstruction(const double theta[QA_], const double c[N_])
{
    double size = 0.0;
    double length = 0.0;
    for (size_t q = 0U; q < QA_; ++q) {
        size += fabs(theta[q]) * @name@_term_norms[q];
    }
    for (size_t j = 0U; j < N_; ++j) {
        length += fabs(c[j]) * @name@_mode_lengths[j];
    }
    return sqrt(size) * ((@reconstruction@ * length) + @lift@);
}
"""

OUTPUTS = """\
/* r -= A x with the packed matrix */
static void @name@_subtract(const double a[T_], const double x[N_], double r[N_])
{
    for (size_t i = 0U; i < N_; ++i) {
        const double *const row = &a[(i * (i + 1U)) / 2U];
        for (size_t j = 0U; j < i; ++j) {
            r[i] -= row[j] * x[j];
            r[j] -= row[j] * x[i];
        }
        r[i] -= row[i] * x[i];
    }
}

/* each output with the correction by its dual solution; its limit is a product of two bounds, and rounding */
static void @name@_outputs(const double theta[QA_], const double factor[T_], const double c[N_], const double r[N_],
                           double z[K_], double root, double energy, @name@_result *result)
{
    double scale = 0.0;
    for (size_t k = 0U; k < K_; ++k) {
        scale += fabs(z[k]) * @name@_term_weights[k];
    }
    for (size_t s = 0U; s < @base@U; ++s) {
        const double *const functional = &@name@_functionals[s * N_];
        double dual[N_];
        double value = @name@_offsets[s];
        double correction = 0.0;
        double shift = 0.0;
        double rounding = 0.0;
        for (size_t k = 0U; k < FIXED_; ++k) {
            z[k] = 0.0;
        }
        for (size_t i = 0U; i < N_; ++i) {
            dual[i] = functional[i];
        }
        @name@_substitute(factor, dual);
        for (size_t i = 0U; i < N_; ++i) {
            value += c[i] * functional[i];
            correction += dual[i] * r[i];
            shift += fabs(dual[i]) * @name@_mode_lengths[i];
            rounding += fabs(c[i]) * @name@_output_weights[(s * N_) + i];
        }
        value += correction;
        z[QF_ + s] = 1.0;
        @name@_combine(theta, dual, z);
        rounding += (shift * scale) + (@four_eps@ * (fabs(value) + fabs(@name@_offsets[s])));
        result->outputs[s] = value;
        result->limits[s] = ((energy * @name@_energy(z, root)) + rounding) * @one_half@;
    }
}
"""

CHECKS = """\
static int @name@_finite(double value)
{
    return (value >= -DBL_MAX) && (value <= DBL_MAX);
}

static unsigned int @name@_check(const double mu[@NAME@_PARAMETERS], double checked[@NAME@_PARAMETERS],
                                 signed char range[@NAME@_PARAMETERS])
{
    unsigned int status = 0U;
    for (size_t i = 0U; i < @P@U; ++i) {
        checked[i] = mu[i];
        range[i] = (signed char)((mu[i] < @name@_low[i]) ? -1 : ((mu[i] <= @name@_high[i]) ? 0 : 1));
        if (range[i] != 0) {
            status |= @NAME@_OUTSIDE;
        }
        if (!@name@_finite(mu[i])) {
            status |= @NAME@_NOT_FINITE;
            checked[i] = @name@_low[i];
        }
    }
    return status;
}

static unsigned int @name@_replace(double values[], size_t count)
{
    unsigned int status = 0U;
    for (size_t q = 0U; q < count; ++q) {
        if (!@name@_finite(values[q])) {
            status = @NAME@_NO_COEFFICIENT;
            values[q] = 1.0;
        }
    }
    return status;
}
"""

#: What `predict` does once everything is computed: a value without a finite limit is reported as such.
PREDICT = """\
unsigned int @name@_predict(const double mu[@NAME@_PARAMETERS], @name@_result *result)
{
    double checked[@NAME@_PARAMETERS];
    double theta[QA_];
    double phi[QF_];
    double factor[T_];
    double c[N_];
    double z[K_];
    double alpha;
    double root;
    double energy;
@locals@
    unsigned int status = @name@_check(mu, checked, result->range);
    unsigned int meaningless;

    @name@_coefficients(checked, theta, phi);
    status |= @name@_replace(theta, QA_);
    status |= @name@_replace(phi, QF_);
    alpha = @name@_stability(theta);
    if (!((alpha > 0.0) && (alpha <= DBL_MAX))) {
        status |= @NAME@_NOT_STABLE;
        alpha = 1.0;
    }
    root = sqrt(alpha);

    @name@_assemble(theta, factor);
    @name@_load(phi, c);
@keep@
    status |= @name@_factorise(factor);
    @name@_substitute(factor, c);

    for (size_t k = 0U; k < QF_; ++k) {
        z[k] = phi[k];
    }
    for (size_t k = QF_; k < FIXED_; ++k) {
        z[k] = 0.0;
    }
    @name@_combine(theta, c, z);
    energy = @name@_energy(z, root);
    result->bound = energy + @name@_reconstruction(theta, c);
@outputs@
    meaningless = status & (@NAME@_NOT_FINITE | @NAME@_NO_COEFFICIENT | @NAME@_NOT_DEFINITE);
    if ((meaningless != 0U) || ((status & @NAME@_NOT_STABLE) != 0U) || (!@name@_finite(result->bound))) {
        result->bound = (double)INFINITY;
        status |= @NAME@_NO_LIMIT;
    }
@coefficients@
@refusal@
    result->status = status;
    return status;
}
"""

KEEP = """\
    for (size_t t = 0U; t < T_; ++t) {
        matrix[t] = factor[t];
    }
    for (size_t i = 0U; i < N_; ++i) {
        r[i] = c[i];
    }"""

CALL_OUTPUTS = """\
    @name@_subtract(matrix, c, r);
    @name@_outputs(theta, factor, c, r, z, root, energy, result);"""

COPY_COEFFICIENTS = """\
    for (size_t i = 0U; i < N_; ++i) {
        const double coefficient = c[i];
        const int known = (meaningless == 0U) && @name@_finite(coefficient);
        result->coefficients[i] = known ? coefficient : 0.0;
    }"""

REFUSE_OUTPUTS = """\
    for (size_t s = 0U; s < @NAME@_OUTPUTS; ++s) {
        if ((meaningless != 0U) || (!@name@_finite(result->outputs[s]))) {
            result->outputs[s] = 0.0;
            result->limits[s] = (double)INFINITY;
        }
        if (((status & @NAME@_NOT_STABLE) != 0U) || (!@name@_finite(result->limits[s]))) {
            result->limits[s] = (double)INFINITY;
            status |= @NAME@_NO_LIMIT;
        }
    }"""
