import io.airlift.compress.zstd.ZstdDecompressor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Decodes every *.zst in a folder by aircompressor and compares it with the *.raw beside it. */
public class Decode {
    public static void main(String[] args) throws Exception {
        int checked = 0;
        try (var frames = Files.newDirectoryStream(Path.of(args[0]), "*.zst")) {
            for (Path path : frames) {
                byte[] raw = Files.readAllBytes(Path.of(path.toString().replace(".zst", ".raw")));
                byte[] frame = Files.readAllBytes(path);
                byte[] got = new byte[raw.length];
                int size = new ZstdDecompressor().decompress(frame, 0, frame.length, got, 0, got.length);
                if (size != raw.length || !Arrays.equals(got, raw)) {
                    throw new Exception(path + ": content differs");
                }
                checked++;
            }
        }
        System.out.println(checked + " frames, aircompressor");
    }
}
