/* An NVML that plays one RTX 2070 (8 GiB). The tests build it with
 *   cc -shared -fPIC -DPLAY='"/path/to/play"' fake_nvml.c
 * and steer it by the file PLAY, read at every call: lines of "<function> <code>". Code 0 or no line: it works.
 * Code -1: it never returns. "calls" in PLAY.log are the functions called, in order. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef void *device_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_t;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, sub; char bus_id[32]; } pci_t;
typedef struct { unsigned gpu, memory; } rates_t;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_t;

#define MIB (1024ULL * 1024ULL)

static int play(const char *function) {
    FILE *log = fopen(PLAY ".log", "a");
    if (log) { fprintf(log, "%s\n", function); fclose(log); }
    int code = 0;
    FILE *file = fopen(PLAY, "r");
    if (file) {
        char name[128];
        int value;
        while (fscanf(file, "%127s %d", name, &value) == 2)
            if (strcmp(name, function) == 0) code = value;
        fclose(file);
    }
    while (code == -1) pause();
    return code;
}

#define SAY(statement) do { int code = play(__func__); if (code == 0) { statement; } return code; } while (0)

int nvmlInit_v2(void) { SAY((void)0); }
int nvmlShutdown(void) { SAY((void)0); }
int nvmlDeviceGetCount_v2(unsigned *count) { SAY(*count = 1); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) { SAY(*device = (device_t)(1UL + index)); }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, device_t *device) {
    (void)bus;
    SAY(*device = (device_t)1UL);
}
int nvmlDeviceGetName(device_t device, char *name, unsigned length) {
    (void)device;
    SAY(snprintf(name, length, "NVIDIA GeForce RTX 2070"));
}
int nvmlDeviceGetPciInfo_v3(device_t device, pci_t *pci) {
    (void)device;
    SAY(memset(pci, 0, sizeof *pci); pci->bus = 1; strcpy(pci->legacy, "0000:01:00.0");
        strcpy(pci->bus_id, "00000000:01:00.0"));
}
int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_t *memory) {
    (void)device;
    SAY(if (memory->version != (sizeof *memory | 2U << 24)) return 25;
        memory->total = 8192 * MIB; memory->reserved = 200 * MIB; memory->used = 4992 * MIB;
        memory->free = 3000 * MIB);
}
int nvmlDeviceGetUtilizationRates(device_t device, rates_t *rates) {
    (void)device;
    SAY(rates->gpu = 63; rates->memory = 40);
}
int nvmlDeviceGetTemperature(device_t device, int sensor, unsigned *degrees) {
    (void)device; (void)sensor;
    SAY(*degrees = 71);
}
int nvmlDeviceGetPowerUsage(device_t device, unsigned *milliwatts) { (void)device; SAY(*milliwatts = 142500); }
int nvmlDeviceGetCurrPcieLinkGeneration(device_t device, unsigned *value) { (void)device; SAY(*value = 1); }
int nvmlDeviceGetCurrPcieLinkWidth(device_t device, unsigned *value) { (void)device; SAY(*value = 8); }
int nvmlDeviceGetMaxPcieLinkGeneration(device_t device, unsigned *value) { (void)device; SAY(*value = 3); }
int nvmlDeviceGetMaxPcieLinkWidth(device_t device, unsigned *value) { (void)device; SAY(*value = 16); }
int nvmlDeviceGetPcieThroughput(device_t device, int counter, unsigned *kilobytes) {
    (void)device;
    SAY(*kilobytes = counter == 1 ? 2500000 : 7);
}

static int list(const char *function, const process_t *all, unsigned number, unsigned *count, process_t *out) {
    int code = play(function);
    if (code) return code;
    unsigned room = *count;
    *count = number;
    if (room < number || !out) return 7; /* NVML_ERROR_INSUFFICIENT_SIZE */
    memcpy(out, all, number * sizeof *all);
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, unsigned *count, process_t *out) {
    static const process_t all[] = {{4711, 4500 * MIB, ~0U, ~0U}, {4712, ~0ULL, ~0U, ~0U}};
    (void)device;
    return list(__func__, all, 2, count, out);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t device, unsigned *count, process_t *out) {
    static const process_t all[] = {{900, 300 * MIB, ~0U, ~0U}, {4711, 4500 * MIB, ~0U, ~0U}};
    (void)device;
    return list(__func__, all, 2, count, out);
}
