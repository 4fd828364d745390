"""The C99 text of an output with a dual basis of its own (`nwidth.rb.dual`); `@name@` is the model's name and `_d` with
the number of the dual model."""

OUTPUT = """\
/* value and limit of one output from the coefficients c and the bound of the field */
static void @name@_output(const double theta[QA_], const double phi[@loads@], const double c[@primal@],
                          double bound, double alpha, double *value, double *limit)
{
    double factor[T_];
    double d[N_];
    double psi[QF_];
    double z[K_];
    double noise = 0.0;
    double total = @offset@;
    double length = 0.0;
    double dual_length = 0.0;
    double load = 0.0;
    double size = 0.0;
    double error;
    double sizes;
    double rounding;
    unsigned int status;

    psi[0] = 1.0;
    for (size_t k = 1U; k < QF_; ++k) {
        psi[k] = c[k - 1U];
    }
    @name@_assemble(theta, factor);
    @name@_load(psi, d);
    status = @name@_factorise(factor);
    @name@_substitute(factor, d);
    for (size_t m = 0U; m < N_; ++m) { /* any dual solution gives a limit: zero where there is no factor */
        d[m] = (status == 0U) ? d[m] : 0.0;
    }
    for (size_t k = 0U; k < QF_; ++k) {
        z[k] = psi[k];
    }
    @name@_combine(theta, d, z);
    error = @name@_norm(z, &noise);
    error = (((error * @gain@) + noise) / sqrt(alpha) * @dual_one@) + DBL_MIN;

    for (size_t m = 0U; m < N_; ++m) {
        double rest = 0.0;
        for (size_t q = 0U; q < @loads@U; ++q) {
            rest += phi[q] * @name@_cross_loads[(q * N_) + m];
        }
        for (size_t q = 0U; q < QA_; ++q) {
            for (size_t j = 0U; j < @primal@U; ++j) {
                rest -= (theta[q] * c[j]) * @name@_cross[(((q * N_) + m) * @primal@U) + j];
            }
        }
        total += d[m] * rest;
        dual_length += fabs(d[m]) * @name@_mode_lengths[m];
    }
    for (size_t j = 0U; j < @primal@U; ++j) {
        total += c[j] * @name@_functional[j];
        length += fabs(c[j]) * @name@_primal_lengths[j];
    }
@quadratic@
    for (size_t q = 0U; q < @loads@U; ++q) {
        load += fabs(phi[q]) * @name@_load_norms[q];
    }
    for (size_t q = 0U; q < QA_; ++q) {
        size += fabs(theta[q]) * @name@_term_norms[q];
    }
    load += size * length;
    sizes = (@functional_norm@ * length) + (@quadratic_norm@ * length * length) + @offset_size@;
    rounding = (@gamma@ * (sizes + (dual_length * load))) + (@four_eps@ * fabs(total));
    *value = total;
    *limit = ((((bound * error) + ((@continuity@ * bound * bound) / alpha)) + rounding) * @one@) + DBL_MIN;
}
"""

QUADRATIC = """\
    for (size_t i = 0U; i < @primal@U; ++i) {
        double row = 0.0;
        for (size_t j = 0U; j < @primal@U; ++j) {
            row += c[j] * @name@_quadratic[(i * @primal@U) + j];
        }
        total += row * c[i];
    }
"""

#: In `predict`: an output that the primal basis bounds as well takes the smaller limit.
SHARPER = """\
    @name@_output(theta, phi, c, result->bound, alpha, &value, &limit);
    if (limit <= result->limits[@place@]) {
        result->outputs[@place@] = value;
        result->limits[@place@] = limit;
    }"""

FRESH = """\
    @name@_output(theta, phi, c, result->bound, alpha, &result->outputs[@place@], &result->limits[@place@]);"""
