/** Starts a Trino server from plain jars: no release archive of this version is published. */
public class FirthTrino {
  public static void main(String[] args) {
    new io.trino.server.Server().start("483");
  }
}
