/* What bindgen reads: the headers of libdpdk that the crate `dpdk` uses, and the few macros and layouts that C has to answer for.
 *
 * There is no .c file: bindgen makes every `static inline` function here and in DPDK's headers callable (wrap_static_fns). */

#include <stddef.h>
#include <stdint.h>

#include <rte_build_config.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/* Where the fields of an mbuf are. Their place is ABI, but not the way to name it: 24.11 wrapped them into anonymous unions, which bindgen numbers.
 * With these, Rust reads the fields of any release directly, without a call into C per mbuf. */
enum dpdk_mbuf_layout {
    DPDK_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
    DPDK_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
    DPDK_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
    DPDK_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
    DPDK_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
    DPDK_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
    DPDK_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
    DPDK_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
    DPDK_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload),
    DPDK_MBUF_SIZE = sizeof(struct rte_mbuf),
};

/* rte_errno is a thread-local macro. */
static inline int dpdk_errno(void) { return rte_errno; }

/* The bit-fields of struct rte_eth_link moved into a union in 24.11. */
struct dpdk_link {
    uint32_t speed_mbps;
    uint8_t up;
    uint8_t full_duplex;
};

static inline int dpdk_link_get_nowait(uint16_t port_id, struct dpdk_link *link) {
    struct rte_eth_link raw;
    int rc = rte_eth_link_get_nowait(port_id, &raw);
    if (rc == 0) {
        link->speed_mbps = raw.link_speed;
        link->up = raw.link_status == RTE_ETH_LINK_UP;
        link->full_duplex = raw.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
    }
    return rc;
}

